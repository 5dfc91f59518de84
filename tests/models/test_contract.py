"""What every network must do while it is trained."""

import pytest
import torch
from support.networks import N_ITEMS, N_USERS, NETWORKS, all_pairs, all_pairs_data, build_network, randomise
from torch import nn

from recsys.models.base import RatingNetwork
from recsys.models.embedding_net import EmbeddingNet
from recsys.models.heads import OrdinalHead
from recsys.models.hybrid import HybridNet

USERS, ITEMS = all_pairs()


@pytest.fixture(params=NETWORKS)
def network(request: pytest.FixtureRequest) -> RatingNetwork:
    return build_network(request.param)


def test_predicts_a_rating_per_pair(network: RatingNetwork) -> None:
    ratings = network(USERS, ITEMS)
    assert ratings.shape == (N_USERS * N_ITEMS,)
    assert ratings.dtype == torch.float32
    torch.testing.assert_close(network(USERS[:1], ITEMS[:1]), ratings[:1])


def test_learns_additive_ratings(network: RatingNetwork) -> None:
    target = 3 + 0.15 * (USERS - 6) + 0.2 * (ITEMS - 4)
    optimizer = torch.optim.Adam(network.parameters(), lr=0.05)
    for _ in range(150):
        optimizer.zero_grad()
        nn.functional.mse_loss(network(USERS, ITEMS), target).backward()
        optimizer.step()
    assert (network(USERS, ITEMS) - target).square().mean().sqrt() < 0.1


def test_every_row_of_every_table_is_used(network: RatingNetwork) -> None:
    network(USERS, ITEMS).square().sum().backward()
    for side, rows in (("user", N_USERS), ("item", N_ITEMS)):
        tables = network.tables(side)
        assert tables
        for name, table in tables.items():
            assert name.startswith(f"{side}_")
            assert table.num_embeddings == rows
            if name == "item_choice_bias":  # used for rankings, not for ratings
                continue
            assert (table.weight.grad.abs().sum(1) > 0).all(), name


def test_untrained_rows_become_the_mean_row(network: RatingNetwork) -> None:
    randomise(network)
    assert network.trained_users.tolist() == [True] * 10 + [False] * 2
    assert network.trained_items.tolist() == [False] + [True] * 8
    before = {name: value.clone() for name, value in network.state_dict().items()}
    network.fill_untrained()
    trained = {
        id(table.weight): trained
        for side, trained in (("user", network.trained_users), ("item", network.trained_items))
        for table in network.tables(side).values()
    }
    for name, value in network.named_parameters():
        known = trained.get(id(value))
        if known is None:
            assert torch.equal(value, before[name])
        else:
            assert torch.equal(value[known], before[name][known])
            torch.testing.assert_close(value[~known], before[name][known].mean(0).expand_as(value[~known]))


def test_switching_modes_computes_nothing(network: RatingNetwork) -> None:
    before = {name: value.clone() for name, value in network.state_dict().items()}
    with torch.no_grad():
        for parameter in network.parameters():  # anything derived from the weights is outdated now
            parameter.add_(0.01)
    changed = {name: value.clone() for name, value in network.state_dict().items()}
    assert changed.keys() == before.keys()
    for mode in (network.eval, network.train, network.eval):
        assert mode() is network
        assert all(torch.equal(value, changed[name]) for name, value in network.state_dict().items())
    for module in network.modules():
        assert type(module).train is nn.Module.train
        assert type(module).eval is nn.Module.eval


def test_weights_survive_a_round_trip(network: RatingNetwork, request: pytest.FixtureRequest) -> None:
    randomise(network)
    other = build_network(request.node.callspec.params["network"])
    assert not torch.equal(other(USERS, ITEMS), network(USERS, ITEMS))
    other.load_state_dict(network.state_dict())
    assert torch.equal(other(USERS, ITEMS), network(USERS, ITEMS))


def test_from_data_keeps_the_arguments_that_rebuild_a_network(network: RatingNetwork) -> None:
    assert network.arguments is not None
    other = type(network)(**network.arguments)
    shapes = {name: value.shape for name, value in network.state_dict().items()}
    assert {name: value.shape for name, value in other.state_dict().items()} == shapes
    assert network.arguments["n_users"] == N_USERS


def test_the_loss_is_the_squared_error_or_a_likelihood(network: RatingNetwork) -> None:
    randomise(network)
    ratings = torch.arange(len(USERS)).float() % 5 + 1
    loss = network.loss(USERS, ITEMS, ratings)
    if isinstance(network.head, OrdinalHead):
        expected = network.head.negative_log_likelihood(network.logits(USERS, ITEMS), ratings)
    else:
        expected = (network(USERS, ITEMS) - ratings).square().mean()
    torch.testing.assert_close(loss, expected)


def test_a_network_without_logits_says_what_to_implement() -> None:
    network = RatingNetwork(2, 2, [1, 5], 3.0)
    with pytest.raises(NotImplementedError, match="logits"):
        network(USERS[:1], ITEMS[:1])


@pytest.mark.parametrize(
    ("network_class", "options", "name"),
    [
        (EmbeddingNet, {}, "embedding-net"),
        (HybridNet, {}, "neumf"),
        (HybridNet, {"item": {"history": True}}, "history"),
    ],
)
def test_a_network_knows_its_name(network_class: type[RatingNetwork], options: dict, name: str) -> None:
    assert network_class.from_data(all_pairs_data(), **options).name == name
