import numpy as np
import pandas as pd
import pytest
import torch

from recsys.analysis.components import correlate, explained, holm, principal_components
from recsys.analysis.items import most_rated, properties
from recsys.data.dataset import Dataset
from recsys.models.bias import Bias
from recsys.models.matrix_factorization import MatrixFactorization


def planted(dataset: Dataset, dim: int = 6) -> np.ndarray:
    """Vectors by item row that differ mostly along one direction, by year."""
    random = np.random.default_rng(2)
    year = dataset.item_table["year"].to_numpy(float)
    direction = random.normal(size=dim)
    return np.outer((year - 1970) / 17, direction / np.linalg.norm(direction)) + random.normal(
        0, 0.1, (len(year), dim)
    )


def whole(dataset: Dataset) -> np.ndarray:
    return np.arange(len(dataset))


def test_films_are_counted_in_training_and_known_by_their_row(items: Dataset) -> None:
    train = np.flatnonzero(items.ratings > 1)
    found = most_rated(items, train, 10)
    counts = np.bincount(items.items[train], minlength=60)
    assert found["ratings"].tolist() == sorted(counts, reverse=True)[:10]
    assert found["title"].tolist() == items.item_table["title"].iloc[found.index].tolist()
    for row, mean in found["mean"].items():
        assert mean == pytest.approx(items.ratings[train][items.items[train] == row].mean())
    assert len(most_rated(items, np.flatnonzero(items.items == 3), 10)) == 1, "without ratings: left out"


def test_a_planted_direction_is_found_and_goes_with_its_cause(items: Dataset) -> None:
    """Vectors taken by rank or by rating count instead of by row would go with nothing."""
    chosen = most_rated(items, whole(items), 40)
    found = principal_components(planted(items), chosen, 3)
    assert found.shares[0] > 0.9
    table = correlate(found.scores, properties(chosen)).set_index(["component", "property"])
    year = table.loc[(1, "year")]
    assert abs(year["r"]) > 0.98
    assert year["p"] < 1e-20
    assert min(abs(year["low"]), abs(year["high"])) > 0.95
    first = found.scores[1] * np.sign(year["r"])
    newest = chosen.sort_values("year")["title"].iloc[-4:]
    assert chosen["title"][first.idxmax()] in set(newest)
    by_rank = planted(items)[:40]
    assert abs(np.corrcoef(by_rank.T, chosen["year"].astype(float))[-1, :-1]).max() < 0.5
    assert table.loc[(2, "year")]["p"] > 0.05


def test_good_films_lie_at_the_upper_end(items: Dataset) -> None:
    chosen = most_rated(items, whole(items), 60)
    vectors = np.zeros((60, 4))
    vectors[chosen.index, 2] = -chosen["mean"]
    found = principal_components(vectors, chosen, 9)
    assert np.corrcoef(found.scores[1], chosen["mean"])[0, 1] == pytest.approx(1)
    assert found.scores.shape == (60, 4), "no more than there are dimensions"


def test_correlations_are_pearsons_with_fishers_interval_and_holms_p() -> None:
    stats = pytest.importorskip("scipy.stats")
    random = np.random.default_rng(3)
    scores = pd.DataFrame(random.normal(size=(80, 2)), columns=[1, 2])
    known = pd.DataFrame({"mean rating": random.normal(size=80)})
    known["year"] = known["mean rating"] + random.normal(size=80) + scores[1]
    known.loc[:9, "year"] = np.nan
    known["same"] = 1.0
    table = correlate(scores, known)
    assert table["property"].tolist() == ["mean rating", "year"] * 2
    raw = []
    for line in table.itertuples():
        there = known[line.property].notna()
        truth = stats.pearsonr(scores[line.component][there], known[line.property][there])
        assert line.items == there.sum()
        assert line.r == pytest.approx(truth.statistic)
        assert (line.low, line.high) == pytest.approx(tuple(truth.confidence_interval()), abs=1e-6)
        raw.append(truth.pvalue)
    assert table["p"].to_numpy() == pytest.approx(holm(np.array(raw)))


def test_partial_correlation_is_that_of_the_residuals() -> None:
    random = np.random.default_rng(4)
    mean = random.normal(size=500)
    scores = pd.DataFrame({1: mean + 0.1 * random.normal(size=500)})
    drama = (mean + random.normal(size=500) > 0).astype(float)
    table = correlate(scores, pd.DataFrame({"mean rating": mean, "Drama": drama})).set_index("property")
    assert table.loc["Drama", "r"] > 0.5, "good items are dramas,"
    assert abs(table.loc["Drama", "partial"]) < 0.1, "and that is all"
    left = [np.polynomial.Polynomial.fit(mean, y, 1) for y in (scores[1], drama)]
    residuals = scores[1] - left[0](mean), drama - left[1](mean)
    assert table.loc["Drama", "partial"] == pytest.approx(np.corrcoef(*residuals)[0, 1])
    assert np.isnan(table.loc["mean rating", "partial"])


def test_holm() -> None:
    assert holm(np.array([0.01, 0.04, 0.03, 0.005])) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm(np.array([0.9, 0.8])) == pytest.approx([1, 1])


def test_how_much_is_explained_does_not_grow_with_chance() -> None:
    random = np.random.default_rng(5)
    known = pd.DataFrame(random.normal(size=(300, 20)), columns=[f"p{k}" for k in range(20)])
    scores = pd.DataFrame({1: known["p0"] + random.normal(size=300), 2: random.normal(size=300)})
    assert explained(scores, known) == pytest.approx([0.5, 0.0], abs=0.1)
    assert np.isnan(explained(scores[:10], known[:10])).all()


def test_genres_of_few_films_are_left_out(items: Dataset) -> None:
    chosen = most_rated(items, whole(items), 60)
    assert list(properties(chosen)) == ["mean rating", "popularity", "year", "Comedy", "Drama", "War"]
    assert list(properties(chosen, min_films=30)) == ["mean rating", "popularity", "year"]


def test_vectors_are_the_embeddings_wider_than_a_bias() -> None:
    network = MatrixFactorization(4, 5, (1, 5), 3, embedding_dim=3)
    assert network.vectors("item") is not None
    assert torch.equal(network.vectors("item"), network.item_embedding.weight)
    assert Bias(4, 5, (1, 5), 3).vectors("item") is None
