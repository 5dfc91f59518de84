"""Top-k lists and predictions of pairs: exact, and the same whatever fits into memory at once."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from recsys.errors import ConfigError
from recsys.models.base import RatingNetwork
from recsys.models.bias import Bias
from recsys.models.embedding_net import EmbeddingNet
from recsys.models.hybrid import HybridNet
from recsys.models.matrix_factorization import MatrixFactorization
from recsys.models.scorer import Precision, Scorer
from recsys.models.scoring import SCORES_PER_BLOCK, Seen, predict_pairs, top_items, top_k

MANY_TIES = st.sampled_from([-torch.inf, -2.5, -0.0, 0.0, 1.0, 3.5])


def columns_by_sorting(scores: np.ndarray, k: int) -> np.ndarray:
    """Return the columns of the k highest scores of each row, ties ordered by column."""
    return np.argsort(-scores, axis=1, kind="stable")[:, :k]


@given(data=st.data(), rows=st.integers(1, 4), n=st.integers(1, 12), k=st.integers(1, 14))
def test_top_k_equals_a_stable_sort(data: st.DataObject, rows: int, n: int, k: int) -> None:
    cells = data.draw(st.lists(MANY_TIES, min_size=rows * n, max_size=rows * n))
    scores = torch.tensor(cells, dtype=torch.float32).view(rows, n)
    values, columns = top_k(scores, k)
    assert columns.tolist() == columns_by_sorting(scores.numpy(), k).tolist()
    assert torch.equal(values, scores.gather(1, columns))


def test_positions_of_seen_items() -> None:
    seen = Seen.of(np.array([2, 0, 2, 0, 2]), np.array([5, 1, 3, 4, 0], dtype=np.int32), n_users=4)
    rows, columns = seen.positions(torch.tensor([2, 1, 0, 3, 2]))
    positions = sorted(zip(rows.tolist(), columns.tolist(), strict=True))
    assert positions == [(0, 0), (0, 3), (0, 5), (2, 1), (2, 4), (4, 0), (4, 3), (4, 5)]


class RecordingScorer(Scorer):
    """Passes everything to another scorer, and records how many users or pairs it is asked for at once."""

    def __init__(self, scorer: Scorer) -> None:
        super().__init__(scorer.n_users, scorer.n_items, scorer.scale)
        self.scorer = scorer
        self.catalogues: list[torch.Tensor] = []
        self.pairs: list[int] = []

    def forward(self, users: torch.Tensor, items: torch.Tensor) -> torch.Tensor:
        self.pairs.append(len(users))
        return self.scorer(users, items)

    def score_catalogue(self, users: torch.Tensor, precision: Precision = "fp32") -> torch.Tensor:
        self.catalogues.append(self.scorer.score_catalogue(users, precision))
        return self.catalogues[-1].clone()


@pytest.fixture
def scorer() -> Scorer:
    torch.manual_seed(0)
    return MatrixFactorization(30, 40, [1, 5], 3.0, embedding_dim=4, init_std=1.0).scorer()


def test_top_items_equal_a_sort_of_all_pairs(scorer: Scorer) -> None:
    users, items = (index.ravel() for index in np.meshgrid(np.arange(30), np.arange(40), indexing="ij"))
    scores = scorer(torch.from_numpy(users), torch.from_numpy(items)).view(30, 40).numpy()
    np.testing.assert_array_equal(top_items(scorer, np.arange(30), 9)[1], columns_by_sorting(scores, 9))


def test_seen_items_and_items_that_are_not_allowed_are_left_out(scorer: Scorer) -> None:
    seen = Seen.of(np.repeat(np.arange(30), 5), np.tile(np.arange(0, 40, 8), 30), 30)
    _, items = top_items(scorer, np.arange(30), 7, seen, np.arange(40) % 3 > 0)
    assert (items % 8 > 0).all()
    assert (items % 3 > 0).all()


def test_many_users_are_ranked_in_blocks() -> None:
    """20,000 users times 1,000 items are more scores than are kept in memory at once."""
    n_users, n_items = 20_000, 1000
    torch.manual_seed(0)
    network = MatrixFactorization(n_users, n_items, [1, 5], 3.0, embedding_dim=2, init_std=1.0)
    scorer = RecordingScorer(network.scorer())
    seen = Seen.of(np.arange(n_users), np.arange(n_users) % n_items, n_users)
    allowed = np.arange(n_items) % 3 > 0
    values, items = top_items(scorer, np.arange(n_users), 3, seen, allowed)
    blocks = [len(scores) for scores in scorer.catalogues]
    assert len(blocks) > 1
    assert sum(blocks) == n_users
    assert max(blocks) * n_items <= SCORES_PER_BLOCK
    for user in (0, blocks[0] - 1, blocks[0], n_users - 1):
        one_values, one_items = top_items(scorer, [user], 3, seen, allowed)
        np.testing.assert_array_equal(items[[user]], one_items)
        np.testing.assert_allclose(values[[user]], one_values, rtol=1e-5)


def test_no_items_left_is_minus_infinity() -> None:
    scorer = Bias(2, 3, [1, 5], 3.0).scorer()
    seen = Seen.of(np.array([1, 1]), np.array([0, 2]), 2)
    for candidates in ("fp32", "bf16"):
        values, items = top_items(scorer, [0, 1], 9, seen, candidates=candidates)
        assert items[0].tolist() == [0, 1, 2]  # ties are ordered by item index
        assert items[1, 0] == 1
        assert np.isfinite(values).tolist() == [[True] * 3, [True, False, False]]


def has_int8() -> bool:
    """Whether this CPU supports candidates=int8."""
    try:
        top_items(EmbeddingNet(1, 2, [1, 5], 3.0).scorer(), [0], 1, candidates="int8")
    except ConfigError:
        return False
    return True


NEEDS_INT8 = pytest.mark.skipif(not has_int8(), reason="this CPU has no VNNI")
REDUCED_PRECISION = ["bf16", pytest.param("int8", marks=NEEDS_INT8)]


def vectors_of_some_size(network: RatingNetwork, std: float = 1.0) -> RatingNetwork:
    for side in ("user", "item"):
        nn.init.normal_(network.tables(side)[f"{side}_embedding"].weight, std=std)
    return network


@pytest.mark.parametrize("candidates", REDUCED_PRECISION)
@pytest.mark.parametrize("network_class", [EmbeddingNet, HybridNet])
def test_candidates_in_reduced_precision_give_the_same_items(
    network_class: type[RatingNetwork], candidates: Precision
) -> None:
    torch.manual_seed(0)
    network = vectors_of_some_size(network_class(20, 2000, [1, 5], 3.0, embedding_dim=16, hidden=[32, 32]))
    users, allowed = np.arange(20), np.arange(2000) % 7 > 0
    seen = Seen.of(np.repeat(users, 5), np.tile(np.arange(0, 2000, 400), 20), 20)
    scorer = RecordingScorer(network.scorer())
    values, items = top_items(scorer, users, 10, seen, allowed)
    found_values, found_items = top_items(scorer, users, 10, seen, allowed, candidates)
    exact, rounded = scorer.catalogues
    errors = (rounded.float() - exact).abs()
    assert 0 < errors.mean() < 0.05 * exact.std()
    np.testing.assert_array_equal(found_items, items)
    np.testing.assert_allclose(found_values, values, atol=1e-5)
    assert torch.equal(network.scorer().score_catalogue(torch.arange(20)), exact)  # nothing was changed


@NEEDS_INT8
def test_int8_covers_the_scores_of_unusual_users() -> None:
    torch.manual_seed(0)
    network = vectors_of_some_size(
        EmbeddingNet(3000, 400, [1, 5], 3.0, embedding_dim=16, hidden=[32, 32]), std=0.3
    )
    network.tables("user")["user_embedding"].weight.data[-5:] *= 5
    values, items = top_items(network.scorer(), np.arange(3000), 10)
    found_values, found_items = top_items(network.scorer(), np.arange(3000), 10, candidates="int8")
    assert (found_items == items).mean() > 0.999
    np.testing.assert_allclose(found_values, values, atol=1e-5)


@pytest.mark.skipif(has_int8(), reason="this CPU has VNNI")
def test_int8_needs_a_cpu_that_supports_it() -> None:
    scorer = EmbeddingNet(2, 30, [1, 5], 3.0, hidden=[4]).scorer()
    with pytest.raises(ConfigError, match=r"candidates=int8: .*candidates=bf16"):
        top_items(scorer, [0], 3, candidates="int8")


@pytest.mark.parametrize("candidates", REDUCED_PRECISION)
@pytest.mark.parametrize("hidden", [[], [8]])
def test_weights_of_zero_give_finite_scores(hidden: list[int], candidates: Precision) -> None:
    network = EmbeddingNet(2, 30, [1, 5], 3.0, hidden=hidden)
    for weights in network.parameters():
        nn.init.zeros_(weights)
    values, items = top_items(network.scorer(), [0, 1], 3, candidates=candidates)
    assert items.tolist() == [[0, 1, 2]] * 2
    assert np.isfinite(values).all()


def test_candidates_are_rescored_in_chunks() -> None:
    """3,000 users times 105 candidates are more pairs than are scored at once."""
    torch.manual_seed(0)
    network = MatrixFactorization(3000, 150, [1, 5], 3.0, embedding_dim=2, init_std=1.0)
    scorer = RecordingScorer(network.scorer())
    _, items = top_items(scorer, np.arange(3000), 5, candidates="bf16")
    assert len(scorer.pairs) > 1
    assert sum(scorer.pairs) == 3000 * 105
    assert (items == top_items(scorer, np.arange(3000), 5)[1]).all()


def test_pairs_are_predicted_in_chunks(scorer: Scorer) -> None:
    random = np.random.default_rng(0)
    users = random.integers(30, size=300_000).astype(np.int32)
    items = random.integers(40, size=300_000)[::-1]  # numpy arrays of negative strides are accepted
    recording = RecordingScorer(scorer)
    ratings = predict_pairs(recording, users, items)
    assert len(recording.pairs) > 1
    expected = scorer.predict(torch.from_numpy(users), torch.from_numpy(items.copy())).numpy()
    np.testing.assert_allclose(ratings, expected, rtol=1e-6)
    assert ratings.min() >= 1
    assert ratings.max() <= 5
    assert predict_pairs(scorer, users[:0], items[:0]).shape == (0,)
