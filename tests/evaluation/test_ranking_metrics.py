"""Ranking metrics equal those by hand, those of torchmetrics and those of scikit-learn."""

import logging
from dataclasses import replace
from math import log2

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.metrics import ndcg_score
from support.datasets import NO_ITEMS
from torchmetrics.functional.retrieval import (
    retrieval_hit_rate,
    retrieval_normalized_dcg,
    retrieval_precision,
    retrieval_recall,
    retrieval_reciprocal_rank,
)

from recsys.data.dataset import Dataset, encode
from recsys.data.splits import Split
from recsys.errors import ConfigError, DataError
from recsys.evaluation.baselines import baseline_metrics
from recsys.evaluation.ranking_metrics import RankingTask, ranking_task, relevance_threshold
from recsys.models.matrix_factorization import MatrixFactorization
from recsys.models.scoring import top_items

SCALE = (1.0, 5.0)


def dataset_of(rows: list[tuple[int, int, float]]) -> Dataset:
    """Return a dataset of (user, item, rating)."""
    ratings = pd.DataFrame(rows, columns=["user", "item", "rating"]).assign(timestamp=0)
    return encode("test", ratings, NO_ITEMS, SCALE)


def split_of(*sizes: int) -> Split:
    """Return a split of consecutive rows: the sizes of train, validation and test set."""
    return Split(*np.split(np.arange(sum(sizes)), np.cumsum(sizes)[:-1]))


@pytest.fixture
def small() -> tuple[Dataset, Split]:
    """Three users, six items. In the test set, items 3 and 4 are relevant to user 0, item 5 to user 1, none to 2."""
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


def test_metrics_equal_those_by_hand(small: tuple[Dataset, Split]) -> None:
    task = RankingTask.of(*small, "test", k=3)
    assert task.users.tolist() == [0, 1]
    # user 0: hits at ranks 2 and 3, of two relevant items; user 1: the only relevant item is not recommended
    metrics = task.metrics(np.array([[5, 3, 4], [2, 3, 4]]))
    ideal = 1 + 1 / log2(3)
    assert metrics == pytest.approx(
        {
            "test/ndcg@3": (1 / log2(3) + 1 / 2) / ideal / 2,
            "test/recall@3": (2 / 2 + 0) / 2,
            "test/precision@3": (2 / 3 + 0) / 2,
            "test/mrr@3": (1 / 2 + 0) / 2,
            "test/hit@3": 1 / 2,
            "test/coverage@3": 4 / 6,
            # of 3 training users, two rated item 4 and one items 2 and 3; item 5, without ratings, counts as one
            "test/novelty@3": (2 * log2(3) + log2(3 / 2)) / 3,
        }
    )


def test_fewer_than_k_recommendations(small: tuple[Dataset, Split]) -> None:
    task = RankingTask.of(*small, "test", k=4)
    metrics = task.metrics(np.array([[4, -1], [-1, -1]]))
    ideal = 1 + 1 / log2(3)
    expected = {"ndcg": 1 / ideal / 2, "recall": 1 / 4, "precision": 1 / 8, "mrr": 1 / 2, "hit": 1 / 2}
    expected |= {"coverage": 1 / 6, "novelty": log2(3 / 2) / 2}
    assert metrics == pytest.approx({f"test/{name}@4": value for name, value in expected.items()})


@pytest.mark.parametrize(
    ("subset", "expected"),
    [
        ("train", [0, 1, 2]),
        ("val", [2, 3, 4]),  # user 0 rated items 0 and 1 in training; the test set is not known yet
        ("test", [3, 4, 5]),
    ],
)
def test_the_full_catalogue_is_ranked_without_items_of_earlier_subsets(
    small: tuple[Dataset, Split], subset: str, expected: list[int]
) -> None:
    """The scorer gives item 0 the highest score and item 5 the lowest."""
    network = MatrixFactorization(3, 6, SCALE, 3.0)
    with torch.no_grad():
        network.item_embedding.weight.zero_()
        network.item_bias.weight[:, 0] = -torch.arange(6.0)
    task = RankingTask.of(*small, subset, k=3)
    _, items = top_items(network.scorer(), [0], 3, task.seen)
    assert items[0].tolist() == expected
    recommended = top_items(network.scorer(), task.users, 3, task.seen)[1]
    assert task.measure(network.scorer()) == task.metrics(recommended)


@pytest.mark.parametrize(("n_users", "expected"), [(1, [0]), (2, [0, 1]), (5, [0, 1])])
def test_a_task_limited_to_some_users(
    small: tuple[Dataset, Split], n_users: int, expected: list[int]
) -> None:
    scorer = MatrixFactorization(3, 6, SCALE, 3.0).scorer()
    limited = RankingTask.of(*small, "test", k=3).limited_to(n_users)
    assert limited.users.tolist() == expected
    data, split = small
    kept = split.test[np.isin(data.users[split.test], expected)]
    of_these = RankingTask.of(data, replace(split, test=kept), "test", k=3)
    assert limited.measure(scorer) == of_these.measure(scorer)


def test_users_with_few_items_left_get_fewer_recommendations(small: tuple[Dataset, Split]) -> None:
    """User 0 has three items left, so a k of six leaves three ranks empty."""
    task = RankingTask.of(*small, "test", k=6)
    metrics = task.measure(MatrixFactorization(3, 6, SCALE, 3.0).scorer())
    assert metrics["test/recall@6"] == 1
    assert metrics["test/precision@6"] == pytest.approx((2 / 6 + 1 / 6) / 2)


def test_metrics_equal_torchmetrics_and_scikit_learn() -> None:
    random = np.random.default_rng(0)
    pairs = random.permutation([(user, item) for user in range(40) for item in range(60)])[:1200]
    dataset = dataset_of([(user, item, random.integers(1, 6)) for user, item in pairs.tolist()])
    split = split_of(700, 200, 300)
    scorer = MatrixFactorization(40, 60, SCALE, 3.0, init_std=1.0).scorer()
    functions = {
        "recall": retrieval_recall,
        "precision": retrieval_precision,
        "mrr": retrieval_reciprocal_rank,
        "hit": retrieval_hit_rate,
        "ndcg": retrieval_normalized_dcg,
    }
    earlier = np.concatenate([split.train, split.val])
    for k in (1, 5, 10):
        task = RankingTask.of(dataset, split, "test", k)
        metrics = task.measure(scorer)
        values: dict[str, list[float]] = {name: [] for name in (*functions, "scikit-learn")}
        for user in range(40):
            own = split.test[(dataset.users[split.test] == user) & (dataset.ratings[split.test] >= 4)]
            if len(own) == 0:
                continue
            candidates = np.setdiff1d(np.arange(60), dataset.items[earlier[dataset.users[earlier] == user]])
            scores = scorer.score_catalogue(torch.tensor([user]))[0, candidates]
            relevant = torch.from_numpy(np.isin(candidates, dataset.items[own]))
            for name, function in functions.items():
                values[name].append(float(function(scores, relevant, top_k=k)))
            values["scikit-learn"].append(ndcg_score(relevant[None].int(), scores[None], k=k))
        assert len(values["hit"]) == len(task.users) > 30
        for name in functions:
            assert metrics[f"test/{name}@{k}"] == pytest.approx(np.mean(values[name]), abs=1e-6), name
        assert metrics[f"test/ndcg@{k}"] == pytest.approx(np.mean(values["scikit-learn"]), rel=1e-9)


def test_popularity_is_measured_in_the_same_way(small: tuple[Dataset, Split]) -> None:
    """Training ratings per item: 3, 2, 1, 1, 2, 0. User 0 is recommended items 4 and 3, user 1 items 2 and 3."""
    dataset, split = small
    metrics = baseline_metrics(dataset, split, "test", RankingTask.of(dataset, split, "test", k=2))
    assert set(metrics) == {"global-mean", "user-item-bias", "popularity"}
    assert metrics["popularity"]["test/ndcg@2"] == pytest.approx((1 + 0) / 2)
    assert metrics["popularity"]["test/coverage@2"] == pytest.approx(3 / 6)
    assert "test/rmse" not in metrics["popularity"]
    assert "popularity" not in baseline_metrics(dataset, split, "test")


@pytest.mark.parametrize(
    ("threshold", "scale", "expected"), [(None, (1, 5), 4.0), (None, (0.5, 5), 3.875), (3.5, (0.5, 5), 3.5)]
)
def test_the_default_threshold_depends_on_the_scale(
    threshold: float | None, scale: tuple[float, float], expected: float
) -> None:
    assert relevance_threshold(threshold, scale) == expected


def test_a_subset_without_relevant_ratings_is_an_error_or_a_warning(
    small: tuple[Dataset, Split], caplog: pytest.LogCaptureFixture
) -> None:
    message = r"ranking.threshold=6: .* val .*ranking.k=0"
    with pytest.raises(DataError, match=message):
        RankingTask.of(*small, "val", 3, 6)
    with pytest.raises(DataError, match=message):
        ranking_task(*small, "val", 3, 6, required=True)
    with caplog.at_level(logging.WARNING):
        assert ranking_task(*small, "val", 3, 6) is None
    assert "ranking.threshold=6" in caplog.text


def test_k_is_at_most_the_number_of_items(small: tuple[Dataset, Split]) -> None:
    with pytest.raises(ConfigError, match=r"ranking.k=7: .*6 items"):
        ranking_task(*small, "test", 7, None)
    assert ranking_task(*small, "test", 0, None) is None
