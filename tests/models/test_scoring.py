import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from recsys.errors import ConfigError
from recsys.models import scoring as ranking
from recsys.models.base import RatingNetwork
from recsys.models.bias import Bias
from recsys.models.embedding_net import EmbeddingNet
from recsys.models.hybrid import NeuMF
from recsys.models.matrix_factorization import MatrixFactorization
from recsys.models.ops.int8 import int8_supported
from recsys.models.scoring import Precision, Seen, rank, rate, top_k

FEW_VALUES = st.sampled_from([-torch.inf, -2.5, -0.0, 0.0, 1.0, 3.5])


def by_sorting(scores: np.ndarray, k: int) -> np.ndarray:
    """Columns by falling score, equal ones by column: the slow way."""
    return np.argsort(-scores, axis=1, kind="stable")[:, :k]


@given(data=st.data(), lines=st.integers(1, 4), n=st.integers(1, 12), k=st.integers(1, 14))
def test_top_k_is_a_stable_sort_cut_off(data: st.DataObject, lines: int, n: int, k: int) -> None:
    cells = data.draw(st.lists(FEW_VALUES, min_size=lines * n, max_size=lines * n))
    scores = torch.tensor(cells, dtype=torch.float32).view(lines, n)
    values, columns = top_k(scores, k)
    assert columns.tolist() == by_sorting(scores.numpy(), k).tolist()
    assert torch.equal(values, scores.gather(1, columns))


def test_seen_items_stand_at_their_places() -> None:
    seen = Seen.of(np.array([2, 0, 2, 0, 2]), np.array([5, 1, 3, 4, 0], dtype=np.int32), n_users=4)
    lines, columns = seen.positions(torch.tensor([2, 1, 0, 3, 2]))
    places = sorted(zip(lines.tolist(), columns.tolist(), strict=True))
    assert places == [(0, 0), (0, 3), (0, 5), (2, 1), (2, 4), (4, 0), (4, 3), (4, 5)]


@pytest.fixture
def network() -> RatingNetwork:
    torch.manual_seed(0)
    made = MatrixFactorization(30, 40, [1, 5], 3.0, embedding_dim=4, init_std=1.0)
    return made.eval()


def test_blocks_change_nothing(network: RatingNetwork, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = Seen.of(np.repeat(np.arange(30), 5), np.tile(np.arange(0, 40, 8), 30), 30)
    allowed = np.arange(40) % 3 > 0
    whole = rank(network, np.arange(30), 7, seen, allowed)
    monkeypatch.setattr(ranking, "SCORES_AT_ONCE", 40 * 4)
    in_blocks = rank(network, np.arange(30), 7, seen, allowed)
    for one, other in zip(whole, in_blocks, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6)
    assert (whole[1] % 8 > 0).all(), "no item that was seen"
    assert (whole[1] % 3 > 0).all(), "no item that is not allowed"


def test_ranks_as_a_sort_of_all_pairs_does(network: RatingNetwork) -> None:
    users, items = (column.ravel() for column in np.meshgrid(np.arange(30), np.arange(40), indexing="ij"))
    with torch.no_grad():
        scores = network(torch.from_numpy(users), torch.from_numpy(items)).view(30, 40).numpy()
    np.testing.assert_array_equal(rank(network, np.arange(30), 9)[1], by_sorting(scores, 9))


ROUGH = [
    "bf16",
    pytest.param("int8", marks=pytest.mark.skipif(not int8_supported(), reason="no VNNI")),
]


@pytest.mark.parametrize("candidates", ROUGH)
@pytest.mark.parametrize("kind", [EmbeddingNet, NeuMF])
def test_rough_candidates_give_the_same_lists(
    kind: type[RatingNetwork], candidates: Precision, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ranking, "SPARE", 15)
    torch.manual_seed(0)
    network = kind(20, 500, [1, 5], 3.0, embedding_dim=16, hidden=[32, 32]).eval()
    for table in (network.user_embedding, network.item_embedding):
        torch.nn.init.normal_(table.weight)
    users, allowed = np.arange(20), np.arange(500) % 7 > 0
    seen = Seen.of(np.repeat(users, 5), np.tile(np.arange(0, 500, 100), 20), 20)
    rough, score = [], network.score
    monkeypatch.setattr(
        network, "score", lambda *args, **kw: rough.append(score(*args, **kw)) or rough[-1].clone()
    )
    values, items = rank(network, users, 10, seen, allowed)
    found = rank(network, users, 10, seen, allowed, candidates)
    exact, rounded = rough
    errors = (rounded.float() - exact)[exact.isfinite()].abs()
    assert 0 < errors.mean() < 0.05 * exact[exact.isfinite()].std()
    np.testing.assert_allclose(found[0], values, atol=1e-5)
    assert (found[1] == items).all()
    assert torch.equal(network.score(torch.arange(20)), exact)  # no trace is left


def test_bytes_need_a_processor_with_such_products(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("recsys.models.ops.int8.int8_supported", lambda: False)
    network = EmbeddingNet(2, 30, [1, 5], 3.0, hidden=[4]).eval()
    with pytest.raises(ConfigError, match=r"candidates=int8: .*candidates=bf16 works"):
        rank(network, [0], 3, candidates="int8")
    assert np.isfinite(rank(network, [0], 3)[0]).all()  # no trace is left


@pytest.mark.skipif(not int8_supported(), reason="no VNNI")
def test_bytes_hold_what_few_of_many_users_reach() -> None:
    torch.manual_seed(0)
    network = EmbeddingNet(3000, 400, [1, 5], 3.0, embedding_dim=16, hidden=[32, 32]).eval()
    for table in (network.user_embedding, network.item_embedding):
        torch.nn.init.normal_(table.weight, std=0.3)
    network.user_embedding.weight.data[-5:] *= 5
    values, items = rank(network, np.arange(3000), 10)
    found = rank(network, np.arange(3000), 10, candidates="int8")
    assert (found[1] == items).mean() > 0.999
    np.testing.assert_allclose(found[0], values, atol=1e-5)


@pytest.mark.parametrize("hidden", [[], [8]])
def test_bytes_of_values_that_are_all_zero(hidden: list[int]) -> None:
    network = EmbeddingNet(2, 30, [1, 5], 3.0, hidden=hidden).eval()
    for weights in network.parameters():
        torch.nn.init.zeros_(weights)
    values, items = rank(network, [0, 1], 3, candidates="int8" if int8_supported() else "bf16")
    assert items.tolist() == [[0, 1, 2]] * 2
    assert np.isfinite(values).all()


def test_no_more_candidates_are_rated_at_once_than_fit(
    network: RatingNetwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = rank(network, np.arange(30), 5, candidates="bf16")
    pieces, forward = [], network.forward
    monkeypatch.setattr(
        network, "forward", lambda users, items: pieces.append(len(users)) or forward(users, items)
    )
    monkeypatch.setattr(ranking, "PAIRS_AT_ONCE", 100)
    in_pieces = rank(network, np.arange(30), 5, candidates="bf16")
    assert pieces == [100] * 12
    assert (in_pieces[1] == whole[1]).all()


def test_candidates_in_bfloat16_end_in_minus_infinity_too() -> None:
    network = Bias(2, 3, [1, 5], 3.0).eval()
    seen = Seen.of(np.array([1, 1]), np.array([0, 2]), 2)
    values, items = rank(network, [0, 1], 9, seen, candidates="bf16")
    assert items[0].tolist() == [0, 1, 2]
    assert items[1, 0] == 1
    assert np.isfinite(values).tolist() == [[True] * 3, [True, False, False]]


def test_more_than_there_is_ends_in_minus_infinity() -> None:
    network = Bias(2, 3, [1, 5], 3.0).eval()
    seen = Seen.of(np.array([1, 1]), np.array([0, 2]), 2)
    values, items = rank(network, [0, 1], 9, seen)
    assert items[0].tolist() == [0, 1, 2], "equal ratings stand in the order of rows"
    assert items[1, 0] == 1
    assert np.isfinite(values).tolist() == [[True] * 3, [True, False, False]]


def test_rates_pairs_in_pieces(network: RatingNetwork, monkeypatch: pytest.MonkeyPatch) -> None:
    users, items = np.arange(30, dtype=np.int32), np.arange(30)[::-1]
    whole = rate(network, users, items)
    monkeypatch.setattr(ranking, "PAIRS_AT_ONCE", 7)
    np.testing.assert_allclose(rate(network, users, items), whole, rtol=1e-6)
    assert whole.min() >= 1
    assert whole.max() <= 5
    assert rate(network, users[:0], items[:0]).shape == (0,)


def test_no_more_is_scored_at_once_than_fits(network: RatingNetwork, monkeypatch: pytest.MonkeyPatch) -> None:
    blocks = []
    score = network.score

    def watched(users: Tensor) -> Tensor:
        blocks.append(len(users))
        return score(users)

    monkeypatch.setattr(network, "score", watched)
    monkeypatch.setattr(ranking, "SCORES_AT_ONCE", 400)
    rank(network, np.arange(25), 3)
    assert blocks == [10, 10, 5]
