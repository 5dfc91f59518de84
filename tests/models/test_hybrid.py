"""What vectors of users and items take from rating histories and from features."""

from collections.abc import Iterable
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from support.networks import all_pairs_data, randomise

from recsys.data.dataset import Dataset
from recsys.data.sources.synthetic import Synthetic
from recsys.errors import ConfigError, DataError
from recsys.models.encoders import HistoryEncoder
from recsys.models.features import item_features, user_features
from recsys.models.hybrid import HybridNet

TRAIN = np.arange(200)  # of 300 ratings
MEAN = 3.0
DATASET = Synthetic(ratings=300, users=20, items=30).load()


@pytest.fixture
def network() -> HybridNet:
    """A network with the history of the first ratings, and with item features."""
    torch.manual_seed(0)
    network = HybridNet(
        len(DATASET.user_ids),
        len(DATASET.item_ids),
        (1, 5),
        MEAN,
        n_item_features=item_features(DATASET).shape[1],
        embedding_dim=4,
        hidden=[],
        user={"history": True},
        item={"history": True, "features": True},
        init_std=1.0,
    )
    network.setup_from_data(DATASET, TRAIN)
    return network


@pytest.fixture
def history(network: HybridNet) -> HistoryEncoder:
    assert network.user_encoder.history is not None
    return network.user_encoder.history


def indices(rows: Iterable[int]) -> tuple[torch.Tensor, torch.Tensor]:
    """Return user and item indices of some ratings."""
    rows = list(rows)
    return torch.from_numpy(DATASET.users[rows]), torch.from_numpy(DATASET.items[rows])


def history_by_hand(history: HistoryEncoder, side: str, index: int, without: int | None) -> torch.Tensor:
    """Return the history vector of a user or an item, by a loop over the training ratings except one."""
    own, partners, damping, partner_damping = (
        (DATASET.users, DATASET.items, 15, 10) if side == "user" else (DATASET.items, DATASET.users, 10, 15)
    )
    rows = [row for row in TRAIN if own[row] == index and partners[row] != without]
    residuals = []
    for row in rows:
        of_partner = DATASET.ratings[[other for other in TRAIN if partners[other] == partners[row]]] - MEAN
        residuals.append(DATASET.ratings[row] - MEAN - of_partner.sum() / (partner_damping + len(of_partner)))
    bias = float(sum(residuals) / (damping + len(residuals)))
    terms = [
        history.chosen.weight[partners[row]] + (float(residual) - bias) * history.liked.weight[partners[row]]
        for row, residual in zip(rows, residuals, strict=True)
    ]
    return torch.stack(terms).sum(0) / len(rows) ** 0.5


def test_a_pair_does_not_depend_on_its_own_rating(history: HistoryEncoder) -> None:
    users, items = DATASET.users[TRAIN], DATASET.items[TRAIN]
    residuals = DATASET.ratings[TRAIN] - 3
    pair = indices([0])
    history.set_ratings(users, items, residuals, 20)
    before = history(*pair)
    history.set_ratings(users, items, np.concatenate([[100], residuals[1:]]), 20)
    assert torch.allclose(history(*pair), before, atol=1e-4)
    others = np.where((users == users[0]) & (np.arange(200) > 0), 100, residuals)
    history.set_ratings(users, items, others, 20)
    assert not torch.allclose(history(*pair), before, atol=1e-1)


def changed_ratings(rows: Iterable[int]) -> Dataset:
    """Return the dataset with other values of some ratings."""
    ratings = DATASET.ratings.copy()
    ratings[list(rows)] = 6 - ratings[list(rows)]
    return replace(DATASET, ratings=ratings)


@pytest.mark.parametrize("row", [0, 17, 199])
def test_a_score_does_not_depend_on_the_own_rating(network: HybridNet, row: int) -> None:
    """Not even through the biases of other users and items, which the histories subtract."""
    randomise(network)
    own, others = indices([row]), indices([1, 2, 3])
    before, before_of_others = network.logits(*own), network.logits(*others)
    network.setup_from_data(changed_ratings([row]), TRAIN)
    torch.testing.assert_close(network.logits(*own), before)
    network.setup_from_data(changed_ratings(TRAIN), TRAIN)
    assert not torch.allclose(network.logits(*others), before_of_others, atol=1e-2)


def test_no_rating_of_validation_and_test_set_contributes(network: HybridNet) -> None:
    randomise(network)
    pairs = indices(range(len(DATASET)))
    before, scores = network.logits(*pairs), network.scorer()(*pairs)
    network.setup_from_data(changed_ratings(range(200, 300)), TRAIN)
    assert torch.equal(network.logits(*pairs), before)
    assert torch.equal(network.scorer()(*pairs), scores)
    shuffled = replace(DATASET, users=np.roll(DATASET.users, 1), items=DATASET.items)
    shuffled.users[TRAIN] = DATASET.users[TRAIN]
    network.setup_from_data(shuffled, TRAIN)
    assert torch.equal(network.scorer()(*pairs), scores)


@pytest.mark.parametrize("side", ["user", "item"])
def test_a_history_has_all_training_ratings(network: HybridNet, side: str) -> None:
    history = getattr(network, f"{side}_encoder").history
    vectors = history.all_vectors()
    for index in (0, 7, 19):
        torch.testing.assert_close(vectors[index], history_by_hand(history, side, index, None))


@pytest.mark.parametrize("side", ["user", "item"])
def test_a_history_in_training_leaves_out_the_rating_in_question(network: HybridNet, side: str) -> None:
    rows = [0, 3, 5, 0, 250]  # the last one is not in the training set, so nothing is left out
    users, items = indices(rows)
    history = getattr(network, f"{side}_encoder").history
    own, partners = (users, items) if side == "user" else (items, users)
    for index, partner, vector in zip(own.tolist(), partners.tolist(), history(own, partners), strict=True):
        torch.testing.assert_close(vector, history_by_hand(history, side, index, partner))


def test_terms_are_switches() -> None:
    def parts(**terms: dict[str, bool]) -> set[str]:
        network = HybridNet(3, 4, (1, 5), 3.0, n_item_features=2, n_user_features=2, **terms)
        names = {name.rsplit(".", 1)[0] for name, _ in network.named_parameters()}
        return {name for name in names if not name.startswith("mlp")}

    biases = {"user_encoder.bias", "item_encoder.bias"}
    ids = {"user_encoder.embedding", "item_encoder.embedding"}
    chosen, liked = "user_encoder.history.chosen", "user_encoder.history.liked"
    assert parts() == biases | ids
    assert parts(user={"history": True}) == biases | ids | {chosen, liked}
    assert parts(user={"id": False, "history": True}) == biases | {"item_encoder.embedding", chosen, liked}
    assert parts(item={"features": True}) == biases | ids | {"item_encoder.features.rows"}


def test_a_vector_needs_a_term() -> None:
    with pytest.raises(ConfigError, match="set one of id, history and features to true"):
        HybridNet(3, 4, (1, 5), 3.0, item={"id": False})
    with pytest.raises(ConfigError, match="set one of id, history and features to true"):
        HybridNet(3, 4, (1, 5), 3.0, item={"id": False, "features": True})  # items without features


def test_without_ids_items_with_equal_raters_have_equal_vectors() -> None:
    network = HybridNet(4, 3, (1, 5), 3.0, item={"id": False, "history": True})
    history = network.item_encoder.history
    assert history is not None
    users, items = np.array([0, 1, 2, 0, 1, 2, 3]), np.array([0, 0, 0, 1, 1, 1, 2])
    history.set_ratings(items, users, np.array([1.0, 0.0, 2.0, 1.0, 0.0, 2.0, 1.0]), 3)
    vectors = network.item_encoder.table().vectors
    assert vectors is not None
    torch.testing.assert_close(vectors[0], vectors[1])
    assert not torch.allclose(vectors[0], vectors[2])


def test_the_order_of_the_training_ratings_does_not_matter(history: HistoryEncoder) -> None:
    residuals = DATASET.ratings[TRAIN] - MEAN
    history.set_ratings(DATASET.users[TRAIN], DATASET.items[TRAIN], residuals, 20)
    before = history.all_vectors()
    order = np.random.default_rng(0).permutation(TRAIN)
    history.set_ratings(DATASET.users[order], DATASET.items[order], residuals[order], 20)
    torch.testing.assert_close(history.all_vectors(), before)


def test_users_without_training_ratings_get_the_mean_history() -> None:
    network = HybridNet.from_data(all_pairs_data(), user={"history": True}, init_std=1.0)
    assert network.user_encoder.history is not None
    all_users = network.user_encoder.history.all_vectors()
    trained = network.trained_users
    torch.testing.assert_close(all_users[~trained], all_users[trained].mean(0).expand(2, -1))


def test_the_scorer_has_the_history_in_its_user_vectors(network: HybridNet, history: HistoryEncoder) -> None:
    scorer = network.scorer()
    vectors = scorer.vectors("user")
    assert vectors is not None
    expected = network.user_encoder.embedding.weight + history.all_vectors()
    torch.testing.assert_close(vectors, expected.detach())
    before = vectors.clone()
    with torch.no_grad():
        history.chosen.weight.add_(1.0)
    assert torch.equal(scorer.vectors("user"), before)
    assert not torch.equal(network.scorer().vectors("user"), before)


def test_a_state_dict_has_no_ratings(network: HybridNet) -> None:
    for state in (network.state_dict(), network.scorer().state_dict()):
        assert not any(len(TRAIN) in value.shape for value in state.values())


def test_history_is_trained(network: HybridNet, history: HistoryEncoder) -> None:
    network(*indices([1, 2])).sum().backward()
    for table in (history.chosen, history.liked):
        assert table.weight.grad is not None
        assert table.weight.grad.abs().sum() > 0


def test_vectors_and_biases_of_the_scorer_are_the_whole_score(network: HybridNet) -> None:
    scorer = network.scorer()
    users, items = scorer.vectors("user"), scorer.vectors("item")
    user_biases, item_biases = scorer.biases("user"), scorer.biases("item")
    expected = 3 + users @ items.T + user_biases[:, None] + item_biases
    torch.testing.assert_close(scorer.score_catalogue(torch.arange(20)), expected, atol=1e-5, rtol=1e-5)


def test_features_of_items() -> None:
    table = pd.DataFrame({"genres": ["Drama|War", "", "Drama"], "year": [1994, None, 1990]})
    table["year"] = table["year"].astype("Int32")
    assert item_features(replace(DATASET, item_table=table)).tolist() == [[0.5, 0.5, 1], [0, 0, 0], [1, 0, 1]]


def test_features_have_a_limited_number_of_categories() -> None:
    """The table is dense: 6,000 items with 18,000 genres would take gigabytes."""
    items = pd.DataFrame(
        {"genres": ["|".join(f"{i}-{j}" for j in range(3)) for i in range(6000)], "year": 1990}
    )
    with pytest.raises(
        DataError,
        match="genres: 18,000 categories, but a feature of 6,000 items or users can have at most 1,000",
    ):
        item_features(replace(DATASET, item_table=items))
    users = pd.DataFrame({"gender": "", "age": "", "occupation": [str(i) for i in range(2000)]})
    with pytest.raises(DataError, match="occupation: 2,000 categories"):
        user_features(replace(DATASET, user_table=users))


def test_features_of_users() -> None:
    table = pd.DataFrame(
        {"gender": ["F", "M", ""], "age": ["24", "", "21"], "occupation": ["writer", "writer", ""]}
    )
    assert user_features(replace(DATASET, user_table=table)).tolist() == [
        [1, 0, 1, 1],
        [0, 1, 1, 0],
        [0, 0, 0, 1],
    ]
    unknown = table.assign(gender="", age="", occupation="")
    assert user_features(replace(DATASET, user_table=unknown)).shape == (3, 0)


def test_items_with_equal_features_have_equal_scores_without_ids(network: HybridNet) -> None:
    """Synthetic items alternate between two sets of genres; ids and years are set to zero here."""
    encoder = network.item_encoder
    assert encoder.features is not None
    encoder.history = None
    with torch.no_grad():
        for table in (encoder.embedding, encoder.bias):
            table.weight.zero_()
    genres_alone = encoder.features.features.clone()
    genres_alone[:, 3:] = 0
    encoder.features.set_features(genres_alone)
    scores = network.scorer().score_catalogue(torch.tensor([4]))[0]
    assert torch.equal(scores[::2], scores[0].expand(15))
    assert torch.equal(scores[1::2], scores[1].expand(15))
    assert scores[0] != scores[1]


def test_a_network_without_training_data_says_what_to_call() -> None:
    pair = torch.tensor([0]), torch.tensor([0])
    with pytest.raises(RuntimeError, match="setup_from_data"):
        HybridNet(2, 2, (1, 5), 3.0, user={"history": True})(*pair)
    with pytest.raises(RuntimeError, match="setup_from_data"):
        HybridNet(2, 2, (1, 5), 3.0, n_item_features=3, item={"features": True})(*pair)


def test_an_empty_batch_has_no_history(history: HistoryEncoder) -> None:
    """Ranking losses ask for this if a batch has no positive items."""
    nothing = torch.empty(0, dtype=torch.int32)
    vectors = history(nothing, nothing)
    assert vectors.shape == (0, 4)
    vectors.sum().backward()
    assert not history.liked.weight.grad.any()


def test_the_ratings_follow_the_weights_to_another_device(history: HistoryEncoder) -> None:
    moved = history.to("meta")
    assert moved.ratings.device.type == "meta"
