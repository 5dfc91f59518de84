import doctest
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from support.finished import LEARNED, finished_run

import recsys.cli.recommend
import recsys.inference.recommender
import recsys.inference.titles
from recsys.data.sources.synthetic import Synthetic
from recsys.errors import DataError, RunError, UnknownIdError
from recsys.inference.recommender import Recommender
from recsys.runs.load import load_run

COLUMNS = ["item", "title", "year", "genres", "prediction", "ratings"]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return finished_run(tmp_path_factory.mktemp("run"))


@pytest.fixture(scope="module")
def recommender(run: Path) -> Recommender:
    return Recommender.load(run)


@pytest.fixture(scope="module")
def truth() -> np.ndarray:
    """Noiseless ratings by user id - 1 and item id - 1."""
    return Synthetic(users=200, items=120, ratings=12000, noise=0.2).truth().clip(1, 5)


def test_the_documentation_is_true(run: Path) -> None:
    for module in (recsys.cli.recommend, recsys.inference.recommender, recsys.inference.titles):
        done = doctest.testmod(module, extraglobs={"run": str(run), "load_run": load_run})
        assert done.attempted > 0
        assert done.failed == 0


def test_predicts_what_is_true(recommender: Recommender, truth: np.ndarray) -> None:
    users, items = np.arange(1, 201), np.arange(1, 121)
    predicted = recommender.predict(users[:, None], items)
    assert predicted.shape == (200, 120)
    assert predicted.dtype == np.float32
    assert np.sqrt(((predicted - truth) ** 2).mean()) < 0.35
    one = recommender.predict(17, 33)
    assert isinstance(one, float)
    assert one == pytest.approx(predicted[16, 32], abs=1e-5)
    assert recommender.predict([17], 33).tolist() == pytest.approx([one])
    assert recommender.predict(17, [33, 34]).shape == (2,)
    assert recommender.predict([], []).shape == (0,)
    assert recommender.predict(17, "synthetic item 33") == one
    assert recommender.predict(17, ["33", "Synthetic Item 33 (1963)"]).tolist() == [one, one]


def test_recommends_what_is_best_of_what_is_new(recommender: Recommender) -> None:
    dataset = recommender.dataset
    seen = set(dataset.item_ids.to_ids(dataset.items[dataset.users == dataset.user_ids.to_indices(9)]).tolist())
    table = recommender.recommend(9, k=15)
    assert table.columns.tolist() == COLUMNS
    every = recommender.predict(9, np.arange(1, 121))
    best = [int(row) + 1 for row in np.argsort(-every, kind="stable") if row + 1 not in seen][:15]
    assert table["item"].tolist() == best
    np.testing.assert_allclose(table["prediction"], every[table["item"] - 1], atol=1e-5)
    assert table["ratings"].tolist() == [int((dataset.items == item - 1).sum()) for item in best]
    assert table["title"][0] == f"Synthetic Item {best[0]} ({1930 + best[0] % 90})"
    again = recommender.recommend(9, k=120, filter_seen=False)
    assert again["item"].tolist() == (np.argsort(-every, kind="stable") + 1).tolist()
    assert len(recommender.recommend(9, k=999)) == 120 - len(seen)


def test_many_users_are_each_as_alone(recommender: Recommender) -> None:
    table = recommender.recommend([9, 4, 9], k=3)
    assert table.columns.tolist() == ["user", *COLUMNS]
    assert table["user"].tolist() == [9, 9, 9, 4, 4, 4, 9, 9, 9]
    for user, some in ((9, table[:3]), (4, table[3:6])):
        alone = recommender.recommend(user, k=3)
        assert some["item"].tolist() == alone["item"].tolist()
    assert recommender.recommend([], k=3).empty


def test_filters_genres_and_years(recommender: Recommender) -> None:
    table = recommender.recommend(9, k=120, genres=["drama"], years=[1940, 1949])
    assert set(table["genres"]) == {"Drama"}
    assert table["year"].between(1940, 1949).all()
    assert set(recommender.recommend(9, genres="Romance")["genres"]) == {"Comedy|Romance"}
    assert set(recommender.recommend(9, years=1950)["year"]) <= {1950}
    with pytest.raises(DataError, match=r"genres=Western: the items have Comedy, Drama, Romance"):
        recommender.recommend(9, genres=["Western", "Drama"])
    with pytest.raises(DataError, match="no item is left"):
        recommender.recommend(9, years=[1800, 1801])


def test_neighbours_agree_with_cosines(recommender: Recommender) -> None:
    vectors = recommender.network.item_embedding.weight.detach()
    cosines = torch.nn.functional.cosine_similarity(vectors[6], vectors)
    table = recommender.similar_items(7, k=4)
    assert table.columns.tolist() == ["item", "title", "year", "genres", "similarity", "ratings"]
    order = [item for item in (-cosines).argsort().tolist() if item != 6][:4]
    assert table["item"].tolist() == [row + 1 for row in order]
    np.testing.assert_allclose(table["similarity"], cosines[order], atol=1e-5)
    both = recommender.similar_items([7, 8], k=4)
    assert both["to"].tolist() == [7] * 4 + [8] * 4
    assert both["item"][:4].tolist() == table["item"].tolist()
    users = recommender.similar_users(7, k=4)
    assert users.columns.tolist() == ["user", "similarity", "ratings"]
    assert 7 not in users["user"].tolist()
    assert recommender.similar_users([7, 1], k=2)["to"].tolist() == [7, 7, 1, 1]


def test_unknown_ids_are_refused_or_given_a_bias(recommender: Recommender) -> None:
    with pytest.raises(UnknownIdError, match=r"unknown user id: 999 \(the nearest known: 200\)"):
        recommender.predict(999, 3)
    with pytest.raises(UnknownIdError, match="unknown item id: 121"):
        recommender.predict(9, [3, 121])
    with pytest.raises(UnknownIdError, match="no item is called so"):
        recommender.predict(9, "xyzzy plugh")
    with pytest.raises(UnknownIdError, match="unknown user id: 0"):
        recommender.recommend(0)
    biases = recommender.biases
    found = recommender.predict([999, 9, 999, 9], [3, 121, 121, 3], on_unknown="bias")
    expected = [biases.mean + biases.items[2], biases.mean + biases.users[8], biases.mean]
    np.testing.assert_allclose(found, [*expected, recommender.predict(9, 3)], rtol=1e-6)
    assert recommender.predict("nobody", 3, on_unknown="bias") == pytest.approx(expected[0])
    table = recommender.recommend([999, 9], k=2, on_unknown="bias")
    assert table["item"][:2].tolist() == (np.argsort(-biases.items)[:2] + 1).tolist()
    assert table["item"][2:].tolist() == recommender.recommend(9, k=2)["item"].tolist()
    with pytest.raises(ValueError, match="on_unknown='maybe': choose raise or bias"):
        recommender.predict(9, 3, on_unknown="maybe")


def test_somebody_new_is_met_by_their_ratings(recommender: Recommender, truth: np.ndarray) -> None:
    """The taste of user 9, told by 40 of their ratings, rates the other items nearly as user 9's own row."""
    items = np.random.default_rng(0).permutation(120) + 1
    told, others = items[:40], items[40:]
    person = recommender.fold_in(zip(told.tolist(), truth[8, told - 1].tolist(), strict=True))
    error = np.sqrt(((person.predict(others) - truth[8, others - 1]) ** 2).mean())
    nobody = recommender.fold_in({})
    assert error < 0.4
    assert error < 0.7 * np.sqrt(((nobody.predict(others) - truth[8, others - 1]) ** 2).mean())
    assert nobody.known == pytest.approx(0, abs=1e-5)
    assert person.known > 0.5
    assert (person.uncertainty(others) < nobody.uncertainty(others)).all()
    table = person.recommend(k=80)
    assert table.columns.tolist() == COLUMNS
    assert not set(table["item"]) & set(told.tolist())
    np.testing.assert_allclose(table["prediction"], person.predict(table["item"].to_numpy()), atol=1e-5)
    assert table["prediction"].is_monotonic_decreasing
    assert len(person.recommend(k=999, filter_seen=False)) == 120
    assert set(person.recommend(genres="drama")["genres"]) == {"Drama"}
    assert isinstance(person.predict("synthetic item 5"), float)
    assert isinstance(person.uncertainty(5), float)
    assert nobody.popular(3)["ratings"].tolist() == sorted(recommender.catalogue.ratings, reverse=True)[:3]


def test_bad_ratings_of_somebody_new(recommender: Recommender) -> None:
    with pytest.raises(DataError, match=r"item 3: rating 6 is off the scale, 1 to 5"):
        recommender.fold_in({3: 6})
    with pytest.raises(DataError, match="off the scale"):
        recommender.fold_in({3: float("nan")})
    with pytest.raises(DataError, match=r"item 3: rated twice \(Synthetic Item 3"):
        recommender.fold_in({"synthetic item 3": 4, 3: 5})
    with pytest.raises(UnknownIdError, match="unknown item id: 500"):
        recommender.fold_in({500: 4})


@pytest.mark.parametrize("model", ["bias", "matrix-factorization"])
def test_every_network_answers(model: str, tmp_path: Path) -> None:
    own = [choice for choice in LEARNED if not choice.startswith(("model", "max_epochs"))]
    recommender = Recommender.load(finished_run(tmp_path / "run", [*own, f"model={model}", "max_epochs=2"]))
    assert isinstance(recommender.recommend(9), pd.DataFrame)
    assert 0 < recommender.fold_in({3: 5, 4: 1}).known < 1
    if model == "bias":
        with pytest.raises(RunError, match="Bias has no item vectors to compare, only biases"):
            recommender.similar_items(3)


def test_text_ids_work(tmp_path: Path) -> None:
    file = tmp_path / "own.csv"
    rows = [f"u{user},m{item},{1 + (user * item) % 5}" for user in range(30) for item in range(20)]
    file.write_text("\n".join(["user,item,rating", *rows]) + "\n")
    own = ["data=csv", f"data.path={file}", "max_epochs=1", "logger=none", "hardware=cpu"]
    recommender = Recommender.load(finished_run(tmp_path / "run", own))
    assert isinstance(recommender.predict("u3", "m7"), float)
    assert recommender.predict(["u3", "u4"], "m7").shape == (2,)
    assert len(recommender.fold_in({"m3": 5, "item m4": 2}).seen) == 2
    with pytest.raises(UnknownIdError, match=r"unknown user id: u33 \(the nearest known: u3"):
        recommender.recommend("u33")
    assert recommender.user_id("u3") == "u3"
