from math import log2

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.metrics import ndcg_score
from torchmetrics.functional.retrieval import (
    retrieval_hit_rate,
    retrieval_normalized_dcg,
    retrieval_precision,
    retrieval_recall,
    retrieval_reciprocal_rank,
)

from recsys.data.dataset import Dataset, encode
from recsys.data.splits import Split
from recsys.errors import DataError
from recsys.evaluation.baselines import baseline_metrics
from recsys.evaluation.ranking_metrics import RankingTask, relevant_from
from recsys.models import scoring as ranking
from recsys.models.embedding_net import EmbeddingNet
from recsys.models.matrix_factorization import MatrixFactorization

FILMS = pd.DataFrame({"item": [], "title": [], "year": [], "genres": []})
SCALE = (1.0, 5.0)


def dataset_of(rows: list[tuple[int, int, float]], scale: tuple[float, float] = SCALE) -> Dataset:
    """Of (user, item, rating)."""
    ratings = pd.DataFrame(rows, columns=["user", "item", "rating"]).assign(timestamp=0)
    return encode("made-up", ratings, FILMS, scale)


def split_of(*parts: int) -> Split:
    """Of the numbers of rows in train, val and test, in this order."""
    return Split(*np.split(np.arange(sum(parts)), np.cumsum(parts)[:-1]))


@pytest.fixture
def small() -> tuple[Dataset, Split]:
    """Three users, six items. User 0 has the relevant test items 3 and 4, user 1 has 5, user 2 none."""
    train = [
        (0, 0, 5),
        (0, 1, 1),
        (1, 0, 4),
        (2, 0, 5),
        (2, 1, 3),
        (2, 2, 2),
        (2, 3, 2),
        (2, 4, 2),
        (1, 4, 1),
    ]
    val = [(0, 2, 5), (1, 1, 3)]
    test = [(0, 3, 4), (0, 4, 5), (0, 5, 3), (1, 5, 5), (2, 5, 3.5)]
    return dataset_of([*train, *val, *test]), split_of(9, 2, 5)


def test_known_answers(small: tuple[Dataset, Split]) -> None:
    task = RankingTask.of(*small, "test", k=3)
    assert task.users.tolist() == [0, 1]
    # user 0: hits at 2 and 3 of two relevant; user 1: the one relevant item is not shown
    found = task.metrics(np.array([[5, 3, 4], [2, 3, 4]]))
    best = 1 + 1 / log2(3)
    assert found == pytest.approx(
        {
            "test/ndcg@3": (1 / log2(3) + 1 / 2) / best / 2,
            "test/recall@3": (2 / 2 + 0) / 2,
            "test/precision@3": (2 / 3 + 0) / 2,
            "test/mrr@3": (1 / 2 + 0) / 2,
            "test/hit@3": 1 / 2,
            "test/coverage@3": 4 / 6,
            # of 3 training users item 4 was rated by two, items 2 and 3 by one; item 5 by none: as if by one
            "test/novelty@3": (2 * log2(3) + log2(3 / 2)) / 3,
        }
    )


def test_lists_may_end_before_k(small: tuple[Dataset, Split]) -> None:
    task = RankingTask.of(*small, "test", k=4)
    found = task.metrics(np.array([[4, -1], [-1, -1]]))
    best = 1 + 1 / log2(3)
    expected = {"ndcg": 1 / best / 2, "recall": 1 / 4, "precision": 1 / 8, "mrr": 1 / 2, "hit": 1 / 2}
    expected |= {"coverage": 1 / 6, "novelty": log2(3 / 2) / 2}
    assert found == pytest.approx({f"test/{name}@4": value for name, value in expected.items()})


@pytest.mark.parametrize(
    ("part", "expected"), [("val", [3, 4, 5]), ("test", [3, 4, 5]), ("train", [0, 1, 2])]
)
def test_the_whole_catalogue_is_ranked_without_what_was_rated_earlier(
    small: tuple[Dataset, Split], part: str, expected: list[int]
) -> None:
    """The network likes item 0 best and item 5 least."""
    network = MatrixFactorization(3, 6, SCALE, 3.0).eval()
    with torch.no_grad():
        network.item_embedding.weight.zero_()
        network.item_bias.weight[:, 0] = -torch.arange(6.0)
    task = RankingTask.of(*small, part, k=3)
    shown = []
    object.__setattr__(task, "metrics", lambda lists: shown.append(lists.tolist()))
    task.measure(network)
    if part == "val":
        expected = [2, 3, 4]  # user 0 rated 0 and 1 in training; what is in test is not known yet
    assert shown[0][0] == expected


def test_equals_torchmetrics_and_scikit_learn(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(0)
    pairs = random.permutation([(user, item) for user in range(40) for item in range(60)])[:1200]
    dataset = dataset_of([(user, item, random.integers(1, 6)) for user, item in pairs.tolist()])
    split = split_of(700, 200, 300)
    network = MatrixFactorization(40, 60, SCALE, 3.0, init_std=1.0).eval()
    monkeypatch.setattr(ranking, "SCORES_AT_ONCE", 60 * 7)  # several blocks
    for k in (1, 5, 10):
        task = RankingTask.of(dataset, split, "test", k)
        found = {name.split("/")[1]: value for name, value in task.measure(network).items()}
        sums: dict[str, list[float]] = {
            name: [] for name in ("recall", "precision", "mrr", "hit", "ndcg", "sk")
        }
        seen = np.concatenate([split.train, split.val])
        for user in range(40):
            mine = split.test[(dataset.users[split.test] == user) & (dataset.ratings[split.test] >= 4)]
            if len(mine) == 0:
                continue
            left = np.setdiff1d(np.arange(60), dataset.items[seen[dataset.users[seen] == user]])
            scores = network.score(torch.tensor([user]))[0, left]
            wanted = torch.from_numpy(np.isin(left, dataset.items[mine]))
            for name, function in (
                ("recall", retrieval_recall),
                ("precision", retrieval_precision),
                ("mrr", retrieval_reciprocal_rank),
                ("hit", retrieval_hit_rate),
                ("ndcg", retrieval_normalized_dcg),
            ):
                sums[name].append(float(function(scores, wanted, top_k=k)))
            sums["sk"].append(ndcg_score(wanted[None].int(), scores[None], k=k))
        assert len(sums["hit"]) == len(task.users) > 30
        for name in ("recall", "precision", "mrr", "hit", "ndcg"):
            assert found[f"{name}@{k}"] == pytest.approx(np.mean(sums[name]), abs=1e-6), name
        assert found[f"ndcg@{k}"] == pytest.approx(np.mean(sums["sk"]), rel=1e-9)


def test_popularity_is_measured_the_same_way(small: tuple[Dataset, Split]) -> None:
    """Items by training ratings: 0 (3), 1 and 4 (2), 2 and 3 (1), 5 (0). User 0 sees 4, 3; user 1 2, 3."""
    dataset, split = small
    found = baseline_metrics(dataset, split, "test", RankingTask.of(dataset, split, "test", k=2))
    assert set(found) == {"global-mean", "user-item-bias", "popularity"}
    assert found["popularity"]["test/ndcg@2"] == pytest.approx((1 + 0) / 2)
    assert found["popularity"]["test/coverage@2"] == pytest.approx(3 / 6)
    assert "test/rmse" not in found["popularity"]
    assert "popularity" not in baseline_metrics(dataset, split, "test")


def test_lists_are_made_with_dropout_off_and_the_mode_is_left_alone(small: tuple[Dataset, Split]) -> None:
    network = EmbeddingNet(3, 6, SCALE, 3.0, dropouts=0.9, embedding_dropout=0.9).train()
    shown: list[list] = []
    task = RankingTask.of(*small, "test", k=3)
    object.__setattr__(task, "metrics", lambda lists: shown.append(lists.tolist()))
    for _ in range(2):
        task.measure(network)
    assert shown[0] == shown[1]
    assert network.training


@pytest.mark.parametrize(
    ("threshold", "scale", "expected"), [(None, (1, 5), 4.0), (None, (0.5, 5), 3.875), (3.5, (0.5, 5), 3.5)]
)
def test_what_is_relevant_goes_with_the_scale(
    threshold: float | None, scale: tuple[float, float], expected: float
) -> None:
    assert relevant_from(threshold, scale) == expected


def test_a_part_without_a_relevant_film_is_told(small: tuple[Dataset, Split]) -> None:
    with pytest.raises(DataError, match=r"ranking.threshold=6: no rating of the val part .*ranking.k=0"):
        RankingTask.of(*small, "val", 3, 6)
