"""New users are encoded as trained users are, without a search."""

import numpy as np
import pytest
import torch
from support.networks import N_ITEMS, TERMS, all_pairs_data, randomise

from recsys.models import new_users
from recsys.models.ensemble import average
from recsys.models.hybrid import HybridNet
from recsys.models.matrix_factorization import MatrixFactorization


@pytest.fixture
def network() -> HybridNet:
    """A network without id embeddings of users: a user is what they have rated."""
    torch.manual_seed(0)
    only_history = {"id": False, "history": True}
    network = HybridNet.from_data(all_pairs_data(), user=only_history, item=TERMS, embedding_dim=4, hidden=[])
    randomise(network)
    torch.nn.init.zeros_(network.user_encoder.bias.weight)
    return network


def ratings_of(user: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return item indices and training ratings of a user."""
    data = all_pairs_data()
    rows = data.split.train[data.dataset.users[data.split.train] == user]
    return torch.from_numpy(data.dataset.items[rows]).long(), torch.from_numpy(data.dataset.ratings[rows])


@pytest.mark.parametrize("user", [0, 3, 9])
def test_the_ratings_of_a_trained_user_give_their_vector(
    network: HybridNet, user: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(new_users, "FULL_HISTORY", 1)
    scorer = network.scorer()
    row = scorer.encode_user(*ratings_of(user))
    torch.testing.assert_close(row, scorer.user_table()[user], atol=1e-4, rtol=1e-4)


def test_short_histories_are_filled_up_with_average_items(network: HybridNet) -> None:
    scorer, history = network.scorer(), network.user_encoder.history
    assert history is not None
    data = all_pairs_data()
    mean_item = history.chosen.weight[torch.from_numpy(data.dataset.items[data.split.train]).long()].mean(0)
    nobody = torch.empty(0, dtype=torch.long), torch.empty(0)
    torch.testing.assert_close(scorer.encode_user(*nobody)[:-1], 20**0.5 * mean_item, atol=1e-4, rtol=1e-4)
    items, ratings = ratings_of(0)
    given = scorer.encode_user(items, ratings)[:-1]
    total = scorer.user_table()[0, :-1] * len(items) ** 0.5  # the sum over the ratings
    expected = (total + (20 - len(items)) * mean_item) / 20**0.5
    torch.testing.assert_close(given, expected, atol=1e-4, rtol=1e-4)


def test_what_ratings_do_not_tell_is_the_mean_of_trained_users() -> None:
    """With biases, features and id embeddings, the encoded rows of all users have the mean of their own rows."""
    torch.manual_seed(0)
    network = HybridNet.from_data(all_pairs_data(), user=TERMS, embedding_dim=4, hidden=[])
    randomise(network)
    new_users_of = network.scorer().new_users
    own = network.scorer().user_table()[:10]  # users 10 and 11 have no training ratings
    history = network.user_encoder.history.all_vectors()[:10]
    expected = own.mean(0) - torch.cat([history.mean(0), torch.zeros(1)])
    torch.testing.assert_close(new_users_of.base, expected, atol=1e-5, rtol=1e-5)


def test_an_ensemble_encodes_for_each_member(network: HybridNet) -> None:
    first, pair = network.scorer(), ratings_of(4)
    randomise(network)
    second = network.scorer()
    row = average([first, second]).encode_user(*pair)
    assert torch.equal(row, torch.cat([first.encode_user(*pair), second.encode_user(*pair)]))
    plain = MatrixFactorization.from_data(all_pairs_data()).scorer()
    assert plain.encode_user(*pair) is None
    assert average([first, plain]).encode_user(*pair) is None


def test_choices_of_a_new_user_come_from_other_vectors_than_ratings() -> None:
    torch.manual_seed(0)
    network = HybridNet.from_data(all_pairs_data(), user=TERMS, choice=True, embedding_dim=4, hidden=[])
    randomise(network)
    scorer, everything = network.scorer(), torch.arange(1)
    table = scorer.user_table()
    rates_as, chooses_as = scorer.with_users(table[[2]]), table[[5]]
    ranker = rates_as.ranker(chooses_as)
    chosen = scorer.catalogue_choice_logits(torch.tensor([5]))
    liked = rates_as.ranker().parts(everything)[1]
    torch.testing.assert_close(ranker.score_catalogue(everything), chosen + liked)
    both = average([scorer, scorer])
    twice = both.with_users(both.user_table()[[2]]).ranker(torch.cat([chooses_as, chooses_as], dim=1))
    torch.testing.assert_close(twice.score_catalogue(everything), chosen + liked)
    assert chosen.shape == (1, N_ITEMS)


def test_a_scorer_without_training_data_has_the_same_shapes(network: HybridNet) -> None:
    """As when a checkpoint is read."""
    state = network.scorer().state_dict()
    empty = HybridNet(
        12, 9, (1, 5), network.mean, user={"id": False, "history": True}, embedding_dim=4, hidden=[]
    ).empty_scorer()
    empty.load_state_dict(state)
    items, ratings = torch.tensor([1, 2]), torch.tensor([5.0, 1.0])
    assert torch.equal(empty.encode_user(items, ratings), network.scorer().encode_user(items, ratings))
    assert np.isfinite(empty.encode_user(items, ratings).numpy()).all()
