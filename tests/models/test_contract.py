"""What every network has to do; a new one is one line in NETWORKS."""

import pytest
import torch
from torch import nn

from recsys.models.base import RatingNetwork
from recsys.models.bias import Bias
from recsys.models.embedding_net import EmbeddingNet
from recsys.models.hybrid import NeuMF
from recsys.models.matrix_factorization import MatrixFactorization

FACTS = {"n_users": 12, "n_items": 9, "scale": [1, 5], "mean": 3.4}
NETWORKS = {
    "bias": (Bias, {}),
    "matrix-factorization": (MatrixFactorization, {"embedding_dim": 8}),
    "embedding-net of no layer": (
        EmbeddingNet,
        {"embedding_dim": 8, "hidden": [], "embedding_dropout": 0.0},
    ),
    "embedding-net of three": (
        EmbeddingNet,
        {"embedding_dim": 8, "hidden": [32, 16, 24], "dropouts": 0.0, "embedding_dropout": 0.0},
    ),
    "embedding-net": (
        EmbeddingNet,
        {"embedding_dim": 8, "hidden": [32], "dropouts": 0.0, "embedding_dropout": 0.0},
    ),
    "embedding-net, linear": (
        EmbeddingNet,
        {"embedding_dim": 8, "hidden": 16, "dropouts": 0.0, "embedding_dropout": 0.0, "head": "linear"},
    ),
    "matrix-factorization, ordinal": (
        MatrixFactorization,
        {"embedding_dim": 8, "head": "ordinal", "levels": [1, 2, 3, 4, 5]},
    ),
    "neumf": (NeuMF, {"embedding_dim": 8, "hidden": 16, "dropouts": 0.0, "embedding_dropout": 0.0}),
    "neumf with history and features": (
        NeuMF,
        {
            "embedding_dim": 8,
            "hidden": [],
            "history": True,
            "features": True,
            "n_item_features": 3,
            "n_user_features": 2,
        },
    ),
}


@pytest.fixture(params=NETWORKS)
def network(request: pytest.FixtureRequest) -> RatingNetwork:
    torch.manual_seed(0)
    kind, arguments = NETWORKS[request.param]
    return kind(**FACTS, **arguments)


@pytest.fixture
def pairs() -> tuple[torch.Tensor, torch.Tensor]:
    grid = torch.cartesian_prod(torch.arange(12, dtype=torch.int32), torch.arange(9, dtype=torch.int32))
    return grid[:, 0], grid[:, 1]


def test_rates_pairs_of_rows(network: RatingNetwork, pairs: tuple) -> None:
    users, items = pairs
    ratings = network(users, items)
    assert ratings.shape == (108,)
    assert ratings.dtype == torch.float32
    assert torch.equal(network.eval()(users[:1], items[:1]), network(users, items)[:1])


def test_predictions_stay_on_the_scale(network: RatingNetwork, pairs: tuple) -> None:
    for parameter in network.parameters():
        parameter.data.mul_(50)
    predicted = network.predict(*pairs)
    assert predicted.min() >= 1
    assert predicted.max() <= 5


def test_learns_additive_ratings(network: RatingNetwork, pairs: tuple) -> None:
    users, items = pairs
    true = 3 + 0.15 * (users - 6) + 0.2 * (items - 4)
    optimizer = torch.optim.Adam(network.parameters(), lr=0.02)
    for _ in range(600):
        optimizer.zero_grad()
        nn.functional.mse_loss(network(users, items), true).backward()
        optimizer.step()
    assert (network(users, items) - true).square().mean().sqrt() < 0.1


def test_every_row_of_every_table_is_used(network: RatingNetwork, pairs: tuple) -> None:
    network(*pairs).square().sum().backward()
    tables = network.tables("user") | network.tables("item")
    assert any(name.startswith("user_") for name in tables)
    assert any(name.startswith("item_") for name in tables)
    for name, table in tables.items():
        assert table.num_embeddings == (12 if name.startswith("user_") else 9)
        if table.weight.requires_grad:
            assert (table.weight.grad.abs().sum(1) > 0).all(), name


def test_untrained_rows_become_the_mean_row(network: RatingNetwork) -> None:
    for parameter in network.parameters():
        nn.init.normal_(parameter)
    trained_users, trained_items = torch.arange(12) < 10, torch.arange(9) > 0
    before = {name: value.clone() for name, value in network.state_dict().items()}
    network.fill_untrained(trained_users, trained_items)
    trained = {"user": trained_users, "item": trained_items}
    tables = {
        f"{name}.weight": trained[side]
        for side in trained
        for name, table in network.tables(side).items()
        if table.weight.requires_grad  # others are written, not trained
    }
    for name, value in network.state_dict().items():
        if name in tables:
            assert torch.equal(value[tables[name]], before[name][tables[name]])
            assert torch.allclose(value[~tables[name]], before[name][tables[name]].mean(0))
        else:
            assert torch.equal(value, before[name])


@pytest.mark.parametrize("at_once", [7, 1 << 16])
def test_scores_a_catalogue_as_it_rates_its_pairs(
    network: RatingNetwork, pairs: tuple, at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    for parameter in network.parameters():
        nn.init.normal_(parameter)
    monkeypatch.setattr("recsys.models.base.PAIRS_AT_ONCE", at_once)
    monkeypatch.setattr("recsys.models.ops.all_pairs.CHUNK_BYTES", 4 * 32 * at_once)
    expected = network.eval()(*pairs).detach().view(12, 9)
    for users in (torch.arange(12), torch.tensor([5, 2, 5], dtype=torch.int32), torch.tensor([7])):
        for scores in (network.score(users), RatingNetwork.score(network, users)):
            torch.testing.assert_close(scores, expected[users.long()], atol=1e-5, rtol=0)
    assert network.score(torch.arange(0)).shape == (0, 9)


def test_other_users_share_all_else(network: RatingNetwork, pairs: tuple) -> None:
    rows = {name: table.weight.detach()[[3, 8]] for name, table in network.tables("user").items()}
    other = network.eval().with_users(rows)
    assert torch.equal(other.score(torch.arange(2)), network.score(torch.tensor([3, 8])))
    assert (other.n_users, network.n_users) == (2, 12)
    for name, table in network.tables("item").items():
        assert other.get_parameter(f"{name}.weight") is table.weight
    assert network.state_dict().keys() == other.state_dict().keys()


def test_weights_survive_a_round_trip(
    network: RatingNetwork, pairs: tuple, request: pytest.FixtureRequest
) -> None:
    kind, arguments = NETWORKS[request.node.callspec.params["network"]]
    again = kind(**FACTS, **arguments)
    again.load_state_dict(network.state_dict())
    assert torch.equal(again.eval()(*pairs), network.eval()(*pairs))
