import numpy as np
import pandas as pd
import pytest
import torch

from recsys.analysis.components import adjusted_r2, correlate, holm, principal_components, strongest
from recsys.analysis.items import feature_properties, most_rated, properties
from recsys.data.dataset import Dataset
from recsys.data.features import FeatureMatrix
from recsys.models.bias import Bias
from recsys.models.matrix_factorization import MatrixFactorization


def vectors_by_year(dataset: Dataset, dim: int = 6) -> np.ndarray:
    """Return vectors by item index that differ mostly along one direction, in which the year increases."""
    random = np.random.default_rng(2)
    year = dataset.item_table["year"].to_numpy(float)
    direction = random.normal(size=dim)
    noise = random.normal(0, 0.1, (len(year), dim))
    return np.outer((year - 1970) / 17, direction / np.linalg.norm(direction)) + noise


def all_rows(dataset: Dataset) -> np.ndarray:
    return np.arange(len(dataset))


def test_most_rated_counts_training_ratings_by_item_index(dataset: Dataset) -> None:
    train = np.flatnonzero(dataset.ratings > 1)
    items = most_rated(dataset, train, 10)
    counts = np.bincount(dataset.items[train], minlength=60)
    assert items["rows"].tolist() == sorted(counts, reverse=True)[:10]
    assert items["title"].tolist() == dataset.item_table["title"].iloc[items.index].tolist()
    for index, mean in items["mean"].items():
        assert mean == pytest.approx(dataset.ratings[train][dataset.items[train] == index].mean())
    assert len(most_rated(dataset, np.flatnonzero(dataset.items == 3), 10)) == 1, "only rated items"


def test_first_component_correlates_with_the_property_that_varies_most(dataset: Dataset) -> None:
    """Vectors looked up by position or rating count instead of item index would not correlate."""
    items = most_rated(dataset, all_rows(dataset), 40)
    found = principal_components(vectors_by_year(dataset), items["mean"], 3)
    assert found.variance_ratio[0] > 0.9
    table = correlate(found.scores, properties(items)).set_index(["component", "property"])
    year = table.loc[(1, "year")]
    assert abs(year["r"]) > 0.98
    assert year["p"] < 1e-20
    assert min(abs(year["low"]), abs(year["high"])) > 0.95
    first = found.scores[1] * np.sign(year["r"])
    newest = items.sort_values("year")["title"].iloc[-4:]
    assert items["title"][first.idxmax()] in set(newest)
    by_position = vectors_by_year(dataset)[:40]
    assert abs(np.corrcoef(by_position.T, items["year"].astype(float))[-1, :-1]).max() < 0.5
    assert table.loc[(2, "year")]["p"] > 0.05


def test_scores_increase_with_the_mean_rating(dataset: Dataset) -> None:
    items = most_rated(dataset, all_rows(dataset), 60)
    vectors = np.zeros((60, 4))
    vectors[items.index, 2] = -items["mean"]
    found = principal_components(vectors, items["mean"], 9)
    assert np.corrcoef(found.scores[1], items["mean"])[0, 1] == pytest.approx(1)
    assert found.scores.shape == (60, 4), "at most as many components as dimensions"


def test_correlations_agree_with_scipy() -> None:
    stats = pytest.importorskip("scipy.stats")
    random = np.random.default_rng(3)
    scores = pd.DataFrame(random.normal(size=(80, 2)), columns=[1, 2])
    known = pd.DataFrame({"mean rating": random.normal(size=80)})
    known["year"] = known["mean rating"] + random.normal(size=80) + scores[1]
    known.loc[:9, "year"] = np.nan
    known["constant"] = 1.0
    table = correlate(scores, known)
    assert table["property"].tolist() == ["mean rating", "year"] * 2
    p_values = []
    for row in table.itertuples():
        is_known = known[row.property].notna()
        expected = stats.pearsonr(scores[row.component][is_known], known[row.property][is_known])
        assert row.items == is_known.sum()
        assert row.r == pytest.approx(expected.statistic)
        assert (row.low, row.high) == pytest.approx(tuple(expected.confidence_interval()), abs=1e-6)
        p_values.append(expected.pvalue)
    assert table["p"].to_numpy() == pytest.approx(holm(np.array(p_values)))


def test_partial_correlation_is_the_correlation_of_the_residuals() -> None:
    random = np.random.default_rng(4)
    mean = random.normal(size=500)
    scores = pd.DataFrame({1: mean + 0.1 * random.normal(size=500)})
    drama = (mean + random.normal(size=500) > 0).astype(float)
    table = correlate(scores, pd.DataFrame({"mean rating": mean, "Drama": drama})).set_index("property")
    assert table.loc["Drama", "r"] > 0.5, "good items are often dramas"
    assert abs(table.loc["Drama", "partial"]) < 0.1, "the genre itself has no effect"
    fits = [np.polynomial.Polynomial.fit(mean, y, 1) for y in (scores[1], drama)]
    residuals = scores[1] - fits[0](mean), drama - fits[1](mean)
    assert table.loc["Drama", "partial"] == pytest.approx(np.corrcoef(*residuals)[0, 1])
    assert np.isnan(table.loc["mean rating", "partial"])


def test_holm() -> None:
    assert holm(np.array([0.01, 0.04, 0.03, 0.005])) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm(np.array([0.9, 0.8])) == pytest.approx([1, 1])


def test_strongest_are_significant_and_ordered() -> None:
    table = pd.DataFrame(
        {"component": [1, 1, 1, 2], "r": [0.2, -0.9, 0.5, 0.99], "p": [0.2, 0.001, 0.01, 0.001]}
    )
    assert strongest(table, 1)["r"].tolist() == [-0.9, 0.5]
    assert strongest(table, 1, 1)["r"].tolist() == [-0.9]


def test_adjusted_r2_does_not_increase_by_chance() -> None:
    random = np.random.default_rng(5)
    known = pd.DataFrame(random.normal(size=(300, 20)), columns=[f"p{k}" for k in range(20)])
    scores = pd.DataFrame({1: known["p0"] + random.normal(size=300), 2: random.normal(size=300)})
    assert adjusted_r2(scores, known) == pytest.approx([0.5, 0.0], abs=0.1)
    assert np.isnan(adjusted_r2(scores[:10], known[:10])).all()


def test_genres_of_too_few_items_are_left_out(dataset: Dataset) -> None:
    items = most_rated(dataset, all_rows(dataset), 60)
    assert list(properties(items)) == ["mean rating", "popularity", "year", "Comedy", "Drama", "War"]
    assert list(properties(items, min_items=30)) == ["mean rating", "popularity", "year"]


@pytest.mark.parametrize("name", ["year", "popularity", "mean rating"])
def test_a_genre_may_have_the_name_of_another_property(dataset: Dataset, name: str) -> None:
    items = most_rated(dataset, all_rows(dataset), 60)
    renamed = properties(items.assign(genres=items["genres"].str.replace("Drama", name)))
    assert set(renamed) == {"mean rating", "popularity", "year", "Comedy", f"genre {name}", "War"}
    pd.testing.assert_series_equal(renamed[f"genre {name}"], properties(items)["Drama"], check_names=False)
    pd.testing.assert_series_equal(renamed[name], properties(items)[name])


def test_biases_are_not_item_vectors() -> None:
    network = MatrixFactorization(4, 5, (1, 5), 3, embedding_dim=3)
    vectors = network.scorer().vectors("item")
    assert vectors is not None
    assert torch.equal(vectors, network.item_embedding.weight)
    assert Bias(4, 5, (1, 5), 3).scorer().vectors("item") is None


def test_features_of_a_table_of_items_are_properties() -> None:
    names = ["price", "brand=Acme", "brand=Rare", "genres=Drama", "text[0]"]
    values = np.zeros((40, 5), np.float32)
    values[:, 0], values[:20, 1], values[:3, 2] = np.arange(40), 1, 1
    items = pd.DataFrame({"title": "x"}, index=range(5, 35))
    known = feature_properties(FeatureMatrix(names, values), items)
    assert known.columns.tolist() == ["price", "brand=Acme"]
    assert known["price"].tolist() == list(range(5, 35))
