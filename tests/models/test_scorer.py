"""What the scorer of every network must do: it is all that is left when training is over."""

import pytest
import torch
from support.networks import (
    N_ITEMS,
    N_TRAIN,
    N_USERS,
    NETWORKS,
    all_pairs,
    all_pairs_data,
    build_network,
    randomise,
)
from torch import nn

from recsys.models.base import RatingNetwork
from recsys.models.bias import Bias
from recsys.models.embedding_net import EmbeddingNet
from recsys.models.hybrid import HybridNet
from recsys.models.matrix_factorization import MatrixFactorization
from recsys.models.scorer import Scorer
from recsys.models.transposed import TransposedScorer

USERS, ITEMS = all_pairs()


@pytest.fixture(params=NETWORKS)
def network(request: pytest.FixtureRequest) -> RatingNetwork:
    network = build_network(request.param)
    randomise(network)
    return network


@torch.no_grad()
def test_scores_pairs_outside_the_training_set_as_the_network(network: RatingNetwork) -> None:
    network.eval()
    data = all_pairs_data()
    trained = torch.zeros(N_USERS, N_ITEMS, dtype=torch.bool)
    rows = data.split.train
    trained[torch.from_numpy(data.dataset.users[rows]).long(), data.dataset.items[rows]] = True
    outside = ~trained.flatten()
    if isinstance(network, HybridNet) and network.user_encoder.history is not None:
        outside &= network.trained_users[USERS]  # the scorer gives users without a history the mean one
    assert outside.sum() > 20
    if isinstance(network, HybridNet) and network.item_encoder.history is not None:
        outside &= network.trained_items[ITEMS]  # and items
        assert outside.sum() > 8
    scores, expected = network.scorer()(USERS, ITEMS), network(USERS, ITEMS)
    torch.testing.assert_close(scores[outside], expected[outside], atol=1e-5, rtol=1e-5)


def test_is_independent_of_later_training(network: RatingNetwork) -> None:
    scorer = network.scorer()
    before = {name: value.clone() for name, value in scorer.state_dict().items()}
    scores = scorer(USERS, ITEMS)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(1.0)
    assert all(torch.equal(value, before[name]) for name, value in scorer.state_dict().items())
    assert torch.equal(scorer(USERS, ITEMS), scores)
    assert not any(value.requires_grad for value in (*scorer.parameters(), *scorer.buffers()))


def test_contains_no_training_ratings(network: RatingNetwork) -> None:
    for name, value in network.scorer().state_dict().items():
        assert N_TRAIN not in value.shape, name


def test_weights_round_trip_through_an_empty_scorer(
    network: RatingNetwork, request: pytest.FixtureRequest
) -> None:
    """Only the arguments of the network are known: there is no training data where a checkpoint is loaded."""
    scorer = network.scorer()
    network_class, _ = NETWORKS[request.node.callspec.params["network"]]
    empty = network_class(**network.arguments).empty_scorer()
    empty.load_state_dict(scorer.state_dict())
    assert torch.equal(empty.predict(USERS, ITEMS), scorer.predict(USERS, ITEMS))
    assert torch.equal(empty.score_catalogue(USERS[::9]), scorer.score_catalogue(USERS[::9]))


def test_switching_modes_computes_nothing(network: RatingNetwork) -> None:
    scorer = network.scorer()
    before = {name: value.clone() for name, value in scorer.state_dict().items()}
    scores = scorer(USERS, ITEMS)
    for mode in (scorer.train, scorer.eval):
        mode()
        assert all(torch.equal(value, before[name]) for name, value in scorer.state_dict().items())
    assert torch.equal(scorer(USERS, ITEMS), scores)


def test_dropout_is_off_while_the_network_trains() -> None:
    network = EmbeddingNet(3, 4, [1, 5], 3.0, hidden=[50], dropouts=0.9, embedding_dropout=0.9).train()
    scorer, users, items = network.scorer(), torch.tensor([0, 1, 2]), torch.tensor([3, 1, 0])
    assert torch.equal(scorer(users, items), scorer(users, items))
    assert not torch.equal(network(users, items), network(users, items))
    assert network.training


def test_predictions_are_clipped_to_the_scale(network: RatingNetwork) -> None:
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.mul_(50)
    predictions = network.scorer().predict(USERS, ITEMS)
    assert predictions.dtype == torch.float32
    assert predictions.min() >= 1
    assert predictions.max() <= 5


def test_scores_that_are_not_ratings_are_not_clipped() -> None:
    network = Bias(2, 2, [1, 5], 3.0)
    nn.init.constant_(network.user_bias.weight, 10.0)
    pair = torch.tensor([0]), torch.tensor([1])
    assert network.scorer(predicts_ratings=True).predict(*pair).item() == 5
    assert network.scorer(predicts_ratings=False).predict(*pair).item() == 13


@torch.no_grad()
def test_scores_a_catalogue_as_its_pairs(network: RatingNetwork) -> None:
    scorer = network.scorer()
    expected = scorer(USERS, ITEMS).view(N_USERS, N_ITEMS)
    for users in (torch.arange(N_USERS), torch.tensor([5, 2, 5], dtype=torch.int32), torch.tensor([7])):
        for scores in (scorer.score_catalogue(users), Scorer.score_catalogue(scorer, users)):
            torch.testing.assert_close(scores, expected[users.long()], atol=1e-5, rtol=1e-5)
    assert scorer.score_catalogue(torch.arange(0)).shape == (0, N_ITEMS)


@torch.no_grad()
@pytest.mark.parametrize("network_class", [EmbeddingNet, HybridNet])
def test_scores_a_large_catalogue_as_its_pairs(network_class: type[RatingNetwork]) -> None:
    """140,000 pairs are more than are scored at once."""
    network = network_class(200, 700, [1, 5], 3.0, embedding_dim=4, hidden=[16, 8])
    randomise(network)
    scorer, users = network.scorer(), torch.arange(200)
    pairs = users.repeat_interleave(700), torch.arange(700).repeat(200)
    expected = scorer(*pairs).view(200, 700)
    torch.testing.assert_close(scorer.score_catalogue(users), expected, atol=1e-4, rtol=1e-5)
    torch.testing.assert_close(Scorer.score_catalogue(scorer, users), expected, atol=1e-4, rtol=1e-5)


@torch.no_grad()
def test_a_scorer_for_other_users_shares_everything_else(network: RatingNetwork) -> None:
    scorer = network.scorer()
    table = scorer.user_table()[[3, 8]].clone()
    other = scorer.with_users(table)
    scores = scorer.score_catalogue(torch.tensor([3, 8]))
    torch.testing.assert_close(other.score_catalogue(torch.arange(2)), scores)
    assert (other.n_users, scorer.n_users) == (2, N_USERS)
    assert torch.equal(other.user_table(), table)
    assert torch.equal(scorer.score_catalogue(torch.tensor([3, 8])), scores)
    vectors, item_vectors = scorer.vectors("user"), scorer.vectors("item")
    if vectors is not None:
        assert torch.equal(other.vectors("user"), vectors[[3, 8]])
        assert torch.equal(other.vectors("item"), item_vectors)


@torch.no_grad()
def test_a_scorer_for_other_items_shares_everything_else(network: RatingNetwork) -> None:
    """A fold-in of items needs this; the order in which choices are predicted is not part of it."""
    scorer = network.scorer()
    table = scorer.item_table()[[3, 8]].clone()
    other = scorer.with_items(table)
    users = torch.arange(N_USERS).repeat_interleave(2)
    pairs = users, torch.tensor([3, 8]).repeat(N_USERS)
    scores = scorer(*pairs)
    torch.testing.assert_close(other(users, torch.tensor([0, 1]).repeat(N_USERS)), scores)
    assert (other.n_items, scorer.n_items) == (2, N_ITEMS)
    assert torch.equal(other.item_table(), table)
    assert torch.equal(other.user_table(), scorer.user_table())
    assert torch.equal(scorer(*pairs), scores)


@torch.no_grad()
def test_a_transposed_scorer_exchanges_users_and_items(network: RatingNetwork) -> None:
    scorer = network.scorer()
    transposed = TransposedScorer(scorer)
    assert (transposed.n_users, transposed.n_items) == (N_ITEMS, N_USERS)
    torch.testing.assert_close(transposed(ITEMS, USERS), scorer(USERS, ITEMS))
    every_item, every_user = torch.arange(N_ITEMS), torch.arange(N_USERS)
    expected = Scorer.score_catalogue(scorer, every_user).T
    torch.testing.assert_close(transposed.score_catalogue(every_item), expected)
    other = transposed.with_users(transposed.user_table()[[4]]).with_items(transposed.item_table()[[2]])
    torch.testing.assert_close(other(torch.tensor([0]), torch.tensor([0])), expected[[4], [2]])


def test_gradients_flow_to_the_table_of_other_users(network: RatingNetwork) -> None:
    scorer = network.scorer()
    table = scorer.user_table()[:1].clone().requires_grad_()
    scorer.with_users(table)(torch.zeros(N_ITEMS, dtype=torch.long), torch.arange(N_ITEMS)).sum().backward()
    assert table.grad is not None
    assert (table.grad != 0).all()


def test_biases_are_in_rating_points_or_missing(network: RatingNetwork) -> None:
    """With an additive head and no vectors, the mean and both biases are the rating."""
    scorer = network.scorer()
    user_biases, item_biases = scorer.biases("user"), scorer.biases("item")
    additive = getattr(network.head, "additive", False)
    if additive and isinstance(network, Bias | MatrixFactorization):
        if scorer.user_vectors is not None:
            scorer.user_vectors.zero_()
        expected = network.mean + user_biases[USERS] + item_biases[ITEMS]
        torch.testing.assert_close(scorer(USERS, ITEMS), expected)
    if not additive:
        assert user_biases is None
        assert item_biases is None
