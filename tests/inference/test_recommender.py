import doctest
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from support.datasets import write_own_ratings
from support.finished import LEARNED, finished_run

import recsys.cli.quoting
import recsys.inference.recommender
import recsys.inference.titles
from recsys.data.sources.synthetic import Synthetic
from recsys.errors import DataError, RunError, UnknownIdError
from recsys.inference import fold_in
from recsys.inference.given_ratings import index_interactions
from recsys.inference.recommender import Recommender
from recsys.runs.load import load_run
from recsys.runs.ratings import load_ratings

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


@pytest.mark.slow
def test_docstring_examples(run: Path) -> None:
    for module in (recsys.cli.quoting, recsys.inference.recommender, recsys.inference.titles):
        results = doctest.testmod(module, extraglobs={"run": str(run), "load_run": load_run})
        assert results.attempted > 0
        assert results.failed == 0


@pytest.mark.slow
def test_predictions_are_near_the_noiseless_ratings(recommender: Recommender, truth: np.ndarray) -> None:
    users, items = np.arange(1, 201), np.arange(1, 121)
    predicted = recommender.predict(users[:, None], items)
    assert predicted.shape == (200, 120)
    assert predicted.dtype == np.float32
    assert np.sqrt(((predicted - truth) ** 2).mean()) < 0.35
    single = recommender.predict(17, 33)
    assert isinstance(single, float)
    assert single == pytest.approx(predicted[16, 32], abs=1e-5)
    assert recommender.predict([17], 33).tolist() == pytest.approx([single])
    assert recommender.predict(17, [33, 34]).shape == (2,)
    assert recommender.predict([], []).shape == (0,)
    assert recommender.predict(17, "synthetic item 33") == single
    assert recommender.predict(17, ["33", "Synthetic Item 33 (1963)"]).tolist() == [single, single]


def test_recommends_the_unseen_items_with_the_highest_predictions(recommender: Recommender) -> None:
    dataset = load_ratings(recommender.run).dataset
    seen = set(
        dataset.item_ids.to_ids(dataset.items[dataset.users == dataset.user_ids.to_indices(9)]).tolist()
    )
    table = recommender.recommend(9, k=15)
    assert table.columns.tolist() == COLUMNS
    predictions = recommender.predict(9, np.arange(1, 121))
    order = np.argsort(-predictions, kind="stable")
    best = [int(index) + 1 for index in order if index + 1 not in seen][:15]
    assert table["item"].tolist() == best
    np.testing.assert_allclose(table["prediction"], predictions[table["item"] - 1], atol=1e-5)
    assert table["ratings"].tolist() == [int((dataset.items == item - 1).sum()) for item in best]
    assert table["title"][0] == f"Synthetic Item {best[0]} ({1930 + best[0] % 90})"
    unfiltered = recommender.recommend(9, k=120, filter_seen=False)
    assert unfiltered["item"].tolist() == (order + 1).tolist()
    assert len(recommender.recommend(9, k=999)) == 120 - len(seen)


def test_many_users_get_the_same_as_each_alone(recommender: Recommender) -> None:
    table = recommender.recommend([9, 4, 9], k=3)
    assert table.columns.tolist() == ["user", *COLUMNS]
    assert table["user"].tolist() == [9, 9, 9, 4, 4, 4, 9, 9, 9]
    for user, rows in ((9, table[:3]), (4, table[3:6])):
        assert rows["item"].tolist() == recommender.recommend(user, k=3)["item"].tolist()
    assert recommender.recommend([], k=3).empty


def test_filters_genres_and_years(recommender: Recommender) -> None:
    table = recommender.recommend(9, k=120, genres=["drama"], years=[1940, 1949])
    assert set(table["genres"]) == {"Drama"}
    assert table["year"].between(1940, 1949).all()
    assert set(recommender.recommend(9, genres="Romance")["genres"]) == {"Comedy|Romance"}
    assert set(recommender.recommend(9, years=1950)["year"]) <= {1950}
    with pytest.raises(DataError, match=r"genres=Western: .*Comedy, Drama, Romance"):
        recommender.recommend(9, genres=["Western", "Drama"])
    with pytest.raises(DataError, match="no item passes"):
        recommender.recommend(9, years=[1800, 1801])


def test_similar_items_and_users_have_the_highest_cosines(recommender: Recommender) -> None:
    vectors = recommender.scorer.vectors("item")
    cosines = torch.nn.functional.cosine_similarity(vectors[6], vectors)
    table = recommender.similar_items(7, k=4)
    assert table.columns.tolist() == ["item", "title", "year", "genres", "similarity", "ratings"]
    expected = [index for index in (-cosines).argsort().tolist() if index != 6][:4]
    assert table["item"].tolist() == [index + 1 for index in expected]
    np.testing.assert_allclose(table["similarity"], cosines[expected], atol=1e-5)
    both = recommender.similar_items([7, 8], k=4)
    assert both["to"].tolist() == [7] * 4 + [8] * 4
    assert both["item"][:4].tolist() == table["item"].tolist()
    users = recommender.similar_users(7, k=4)
    assert users.columns.tolist() == ["user", "similarity", "ratings"]
    assert 7 not in users["user"].tolist()
    assert recommender.similar_users([7, 1], k=2)["to"].tolist() == [7, 7, 1, 1]


def test_unknown_ids_are_refused_or_predicted_by_biases(recommender: Recommender) -> None:
    with pytest.raises(UnknownIdError, match=r"unknown user id: 999 \(the nearest known: 200\)"):
        recommender.predict(999, 3)
    with pytest.raises(UnknownIdError, match="unknown item id: 121"):
        recommender.predict(9, [3, 121])
    with pytest.raises(UnknownIdError, match="no item has this title"):
        recommender.predict(9, "xyzzy plugh")
    with pytest.raises(UnknownIdError, match="unknown user id: 0"):
        recommender.recommend(0)
    biases = recommender.biases
    predicted = recommender.predict([999, 9, 999, 9], [3, 121, 121, 3], on_unknown="bias")
    expected = [biases.mean + biases.items[2], biases.mean + biases.users[8], biases.mean]
    np.testing.assert_allclose(predicted, [*expected, recommender.predict(9, 3)], rtol=1e-6)
    assert recommender.predict("unknown", 3, on_unknown="bias") == pytest.approx(expected[0])
    table = recommender.recommend([999, 9], k=2, on_unknown="bias")
    assert table["item"][:2].tolist() == (np.argsort(-biases.items)[:2] + 1).tolist()
    assert table["item"][2:].tolist() == recommender.recommend(9, k=2)["item"].tolist()
    drama = recommender.recommend(999, k=120, genres="Drama", on_unknown="bias")
    assert set(drama["genres"]) == {"Drama"}
    with pytest.raises(ValueError, match="on_unknown='maybe': must be 'raise' or 'bias'"):
        recommender.predict(9, 3, on_unknown="maybe")


def test_a_known_user_of_another_type_is_not_taken_for_an_unknown_one(recommender: Recommender) -> None:
    expected = recommender.predict([9, 8], [3, 4])
    for users in (["9", "8"], ["9", 8], pd.Series([9, 8], dtype=object), np.array([9, 8], np.uint8)):
        np.testing.assert_array_equal(recommender.predict(users, [3, 4], on_unknown="bias"), expected)
    numbers = pd.Series(list(np.array([9, 8])), dtype=object)  # of numpy.int64
    np.testing.assert_array_equal(recommender.predict(numbers, [3, 4]), expected)
    for users in ([9.0, 8.0], [9, np.nan], np.array([9, 8.0], object), np.array([True, False])):
        with pytest.raises(UnknownIdError, match=r"user ids are whole numbers here, which .* is not"):
            recommender.predict(users, [3, 4], on_unknown="bias")
        with pytest.raises(UnknownIdError, match=r"item ids are whole numbers here, which .* is not"):
            recommender.predict([9, 8], users, on_unknown="bias")
        with pytest.raises(UnknownIdError, match=r"user ids are whole numbers here, which .* is not"):
            recommender.recommend(users, on_unknown="bias")


def test_years_are_one_or_two_numbers(recommender: Recommender) -> None:
    expected = recommender.recommend(7, years=[1950, 1990])
    for years in (np.array([1950, 1990]), pd.Series([1950, 1990], index=[3, 4]), (1950, 1990)):
        pd.testing.assert_frame_equal(recommender.recommend(7, years=years), expected)
    for years in ((), (1950, 1960, 1990), ["1990", "1999"], [None, 1999], pd.Timestamp("1999-01-01")):
        with pytest.raises(DataError, match="must be a year, or the first and the last year"):
            recommender.recommend(7, years=years)


def test_a_new_user_is_predicted_from_ratings(recommender: Recommender, truth: np.ndarray) -> None:
    """From 40 noiseless ratings of user 9, the other ratings of user 9 are predicted well."""
    items = np.random.default_rng(0).permutation(120) + 1
    rated, others = items[:40], items[40:]
    user = recommender.fold_in(zip(rated.tolist(), truth[8, rated - 1].tolist(), strict=True))
    mean_user = recommender.fold_in({})
    error = np.sqrt(((user.predict(others) - truth[8, others - 1]) ** 2).mean())
    assert error < 0.4
    assert error < 0.7 * np.sqrt(((mean_user.predict(others) - truth[8, others - 1]) ** 2).mean())
    assert mean_user.explained == pytest.approx(0, abs=1e-5)
    assert user.explained > 0.5
    assert (user.uncertainty(others) < mean_user.uncertainty(others)).all()
    table = user.recommend(k=80)
    assert table.columns.tolist() == COLUMNS
    assert not set(table["item"]) & set(rated.tolist())
    np.testing.assert_allclose(table["prediction"], user.predict(table["item"].to_numpy()), atol=1e-5)
    assert table["prediction"].is_monotonic_decreasing
    assert len(user.recommend(k=999, filter_seen=False)) == 120
    assert set(user.recommend(genres="drama")["genres"]) == {"Drama"}
    assert isinstance(user.predict("synthetic item 5"), float)
    assert isinstance(user.uncertainty(5), float)
    most_rated = sorted(recommender.catalogue.rating_counts, reverse=True)[:3]
    assert mean_user.popular(3)["ratings"].tolist() == most_rated


@pytest.mark.slow
def test_a_new_item_is_predicted_from_its_raters(recommender: Recommender, truth: np.ndarray) -> None:
    users = np.random.default_rng(0).permutation(200) + 1
    raters, others = users[:60], users[60:]
    item = recommender.fold_in_item(zip(raters.tolist(), truth[raters - 1, 11].tolist(), strict=True))
    mean_item = recommender.fold_in_item({})
    error = np.sqrt(((item.predict(others) - truth[others - 1, 11]) ** 2).mean())
    assert error < 0.4
    assert error < 0.7 * np.sqrt(((mean_item.predict(others) - truth[others - 1, 11]) ** 2).mean())
    assert (item.uncertainty(others) < mean_item.uncertainty(others)).all()
    assert isinstance(item.predict(5), float)
    assert isinstance(item.uncertainty(5), float)
    assert item.predict([[5], [6]]).shape == (2, 1)
    with pytest.raises(UnknownIdError, match="unknown user id: 999"):
        item.predict(999)


def test_a_new_item_is_described_by_genres_and_year(recommender: Recommender) -> None:
    drama, users = recommender.fold_in_item(genres="Drama", year=1995), np.arange(1, 201)
    assert ((drama.predict(users) >= 1) & (drama.predict(users) <= 5)).all()
    same = recommender.fold_in_item(genres=["drama"], year=1995)
    np.testing.assert_array_equal(same.predict(users), drama.predict(users))
    rated = recommender.fold_in_item({7: 5}, genres="Drama", year=1995)
    assert rated.predict(7) > drama.predict(7)
    assert rated.uncertainty(7) < drama.uncertainty(7)
    with pytest.raises(DataError, match="genres=Opera: must be among"):
        recommender.fold_in_item(genres="Opera")
    with pytest.raises(DataError, match="genres=5: must be a name, or a list of names"):
        recommender.fold_in_item(genres=5)
    for year in ("1995", 19.5, True):
        with pytest.raises(DataError, match=r"year=.*: must be an integer"):
            recommender.fold_in_item(year=year)


def test_wrong_ratings_of_a_new_item(recommender: Recommender) -> None:
    for ratings, message in (
        ({3: 6}, "user 3: rating 6 must be between 1 and 5"),
        ([(3, 4), (3, 5)], "user 3: has two ratings"),
        ({999: 4}, "unknown user id: 999"),
        ({(3, 4): 4}, r"user '\(3, 4\)': must be one id"),
        ([3, 4], r"ratings: a list does not consist of pairs; give {user: rating}"),
        (pd.DataFrame({"user": [3], "rating": [4]}), "ratings: a DataFrame does not consist of pairs"),
        (None, "ratings: None does not consist of pairs"),
    ):
        with pytest.raises((DataError, UnknownIdError), match=message):
            recommender.fold_in_item(ratings)


def test_an_interaction_is_one_id() -> None:
    assert index_interactions(["1", "2", "1"], int) == {1: 1.0, 2: 1.0}
    with pytest.raises(DataError, match=r"item '\[7, 8\]': must be one id"):
        index_interactions([[7, 8]], int)


def test_wrong_ratings_of_a_new_user(recommender: Recommender) -> None:
    with pytest.raises(DataError, match="item 3: rating 6 must be between 1 and 5"):
        recommender.fold_in({3: 6})
    for rating in ("0_5", "٤", "four", None, [4]):
        with pytest.raises(DataError, match=rf"item 3: rating '?{re.escape(str(rating))}'? is not a number"):
            recommender.fold_in([(3, rating)])
    assert recommender.fold_in({3: "4"}).predict(5) == recommender.fold_in({3: 4}).predict(5)
    assert recommender.fold_in(pd.Series({3: 4})).predict(5) == recommender.fold_in({3: 4}).predict(5)
    with pytest.raises(DataError, match="item 3: rating nan"):
        recommender.fold_in({3: float("nan")})
    with pytest.raises(DataError, match="item 3: has two ratings"):
        recommender.fold_in({"synthetic item 3": 4, 3: 5})
    with pytest.raises(UnknownIdError, match="unknown item id: 500"):
        recommender.fold_in({500: 4})


@pytest.mark.slow
@pytest.mark.parametrize("model", ["bias", "matrix-factorization", "history"])
def test_every_model_can_be_queried(model: str, tmp_path: Path) -> None:
    common = [override for override in LEARNED if not override.startswith(("model", "max_epochs"))]
    overrides = [*common, f"model={model}", "max_epochs=2"] + ["model.head=linear"] * (model == "history")
    recommender = Recommender.load(finished_run(tmp_path / "run", overrides))
    assert isinstance(recommender.recommend(9), pd.DataFrame)
    assert 0 < recommender.fold_in({3: 5, 4: 1}).explained < 1
    if model == "bias":
        with pytest.raises(RunError, match="model=bias has no item vectors"):
            recommender.similar_items(3)
    else:
        assert len(recommender.similar_items(3, k=2)) == 2


def test_at_least_one_result_is_asked_for(recommender: Recommender) -> None:
    user = recommender.fold_in({3: 5})
    for query in (
        lambda k: recommender.recommend(7, k),
        lambda k: recommender.similar_items(3, k),
        lambda k: recommender.similar_users(3, k),
        user.recommend,
        user.popular,
    ):
        for k in (0, -1):
            with pytest.raises(ValueError, match=f"k={k}: must be at least 1"):
                query(k)


def test_ids_may_be_text(tmp_path: Path) -> None:
    file = tmp_path / "own.csv"
    write_own_ratings(file)
    overrides = ["data=table", f"data.path={file}", "max_epochs=1", "logger=none", "hardware=cpu"]
    recommender = Recommender.load(finished_run(tmp_path / "run", overrides))
    assert isinstance(recommender.predict("u3", "m7"), float)
    assert recommender.predict(["u3", "u4"], "m7").shape == (2,)
    assert len(recommender.fold_in({"m3": 5, "m4": 2}).seen) == 2
    with pytest.raises(UnknownIdError, match=r"unknown user id: u33 \(the nearest known: u3"):
        recommender.recommend("u33")
    assert recommender.user_id("u3") == "u3"


@pytest.fixture(scope="module")
def joint(tmp_path_factory: pytest.TempPathFactory) -> Recommender:
    """A run that learned ratings and choices."""
    options = ["data=synthetic", "data.ratings=1500", "data.users=60", "data.items=50", "loss=joint"]
    options += ["model=history", "max_epochs=2", "hardware=cpu", "logger=none"]
    return Recommender.load(finished_run(tmp_path_factory.mktemp("joint"), options))


@pytest.mark.parametrize("users", [7, [7, 9, 12]])
def test_items_are_ordered_by_score_and_show_the_predicted_rating(
    joint: Recommender, users: int | list
) -> None:
    table = joint.recommend(users, k=8, min_ratings=0)
    of_users = ["user"] if isinstance(users, list) else []
    assert table.columns.tolist() == [*of_users, *COLUMNS[:4], "score", *COLUMNS[4:]]
    for user, rows in table.groupby("user") if of_users else [(users, table)]:
        scores = joint.scorer.ranker().score_catalogue(torch.tensor([joint.user_ids.to_indices(user)]))[0]
        scores[joint.seen.positions(torch.tensor([joint.user_ids.to_indices(user)]))[1]] = -torch.inf
        best = scores.sort(descending=True, stable=True)
        assert rows["item"].tolist() == joint.catalogue.ids.to_ids(best.indices[:8].numpy()).tolist()
        np.testing.assert_allclose(rows["score"], best.values[:8], rtol=1e-5)
        np.testing.assert_allclose(
            rows["prediction"], joint.predict(user, rows["item"].to_numpy()), rtol=1e-5
        )
    assert not table["prediction"].is_monotonic_decreasing, "the order is not that of ratings"


@pytest.mark.slow
def test_the_networks_of_an_ensemble_show_how_much_they_disagree(tmp_path: Path) -> None:
    options = ["data=synthetic", "data.ratings=1500", "data.users=60", "data.items=50", "model=neumf"]
    options += ["max_epochs=3", "schedule.cycle_epochs=1", "snapshots=3", "hardware=cpu", "logger=none"]
    recommender = Recommender.load(finished_run(tmp_path / "run", options))
    table = recommender.recommend([7, 999], k=4, min_ratings=0, on_unknown="bias")
    assert table.columns.tolist() == ["user", *COLUMNS[:5], "deviation", "ratings"]
    u, items = recommender.user_ids.to_indices(7), recommender.catalogue.to_indices(table["item"][:4])
    pairs = torch.full((4,), int(u)), torch.from_numpy(items).long()
    members = torch.stack([member.predict(*pairs) for member in recommender.scorer.members])  # type: ignore[union-attr]
    np.testing.assert_allclose(table["deviation"][:4], members.std(0), rtol=1e-4)
    assert table["deviation"][4:].isna().all(), "an unknown user's predictions come from biases"
    one = recommender.deviations(7, table["item"][0])
    assert one == pytest.approx(table["deviation"][0], rel=1e-4)
    assert recommender.deviations([7, 8], 3).shape == (2,)


@pytest.mark.slow
def test_the_probability_of_relevance_follows_the_ratings(joint: Recommender) -> None:
    found = load_ratings(joint.run)
    rows = found.split.test
    users = found.dataset.user_ids.to_ids(found.dataset.users[rows])
    items = found.dataset.item_ids.to_ids(found.dataset.items[rows])
    probabilities = joint.relevance(users, items)
    assert ((probabilities > 0) & (probabilities < 1)).all()
    assert joint.relevance(users[0], items[0]) == pytest.approx(probabilities[0], abs=1e-6)
    assert joint.relevance([[1], [2]], [3, 4, 5]).shape == (2, 3)
    assert np.corrcoef(probabilities, joint.predict(users, items))[0, 1] > 0.9


def test_one_network_has_no_deviations(recommender: Recommender) -> None:
    assert np.isnan(recommender.deviations(7, 3))
    assert np.isnan(recommender.relevance(7, 3)), "its head is not ordinal"
    assert "deviation" not in recommender.recommend(7)


@pytest.mark.parametrize(("rmse", "shown"), [(-1, "-1"), (10**30, "1e\\+30"), (0.0, "0"), (1e-300, "1e-300")])
def test_an_impossible_validation_error_is_told(run: Path, tmp_path: Path, rmse: float, shown: str) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(run, copy)
    result = json.loads((copy / "result.json").read_text())
    result["metrics"]["val/rmse"] = rmse
    (copy / "result.json").write_text(json.dumps(result))
    with pytest.raises(RunError, match=rf"val/rmse={shown} in result\.json: fold-in needs"):
        Recommender.load(copy).fold_in({1: 5})


def test_users_described_by_too_many_numbers_are_not_folded_in(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The covariance of many networks would fill the memory."""
    recommender = Recommender.load(run)
    width = recommender.scorer.user_table().shape[1]
    monkeypatch.setattr(fold_in, "MAX_WIDTH", width - 1)
    with pytest.raises(RunError, match=f"{width} numbers describe each user"):
        recommender.fold_in({1: 5})


@pytest.mark.slow
def test_an_unknown_user_has_no_scores(joint: Recommender) -> None:
    table = joint.recommend([7, 999], k=3, on_unknown="bias")
    assert table["score"].isna().tolist() == [False] * 3 + [True] * 3
    assert table["prediction"].between(1, 5).all()


def test_a_new_user_gets_items_in_the_order_of_scores(joint: Recommender) -> None:
    table = joint.fold_in({1: 5, 2: 1.5}).recommend(k=5, min_ratings=0)
    assert table["score"].is_monotonic_decreasing
    assert table["prediction"].between(1, 5).all()


def ranking_run(folder: Path, model: str) -> Recommender:
    options = ["data=synthetic", "data.ratings=1500", "data.users=60", "data.items=50", "loss=softmax"]
    options += [f"model={model}", "max_epochs=1", "hardware=cpu", "logger=none"]
    return Recommender.load(finished_run(folder, options))


@pytest.mark.slow
@pytest.mark.parametrize("model", ["history", "matrix-factorization"])
def test_a_ranking_run_folds_in_what_a_user_likes(model: str, tmp_path: Path) -> None:
    recommender = ranking_run(tmp_path / "run", model)
    user = recommender.fold_in({1: 5, 2: 1.5})
    table = user.recommend(k=5, min_ratings=0)
    assert len(table) == 5
    assert not table["item"].isin([1, 2]).any()
    assert table["prediction"].is_monotonic_decreasing
    others = list(range(3, 31))
    scores = {
        name: user.predict(others).tolist()
        for name, user in {
            "likes 1": user,
            "the same": recommender.fold_in({1: 5}),
            "another": recommender.fold_in({2: 5}),
            "likes nothing": recommender.fold_in({2: 1.5}),
            "without ratings": recommender.fold_in({}),
        }.items()
    }
    assert scores["likes 1"] == scores["the same"]
    assert scores["likes 1"] != scores["another"]
    assert scores["likes nothing"] == scores["without ratings"] != scores["likes 1"]
    for ask in (lambda: user.explained, lambda: user.uncertainty([3])):
        with pytest.raises(RunError, match="needs predicted ratings"):
            ask()


def test_filters_apply_to_similar_items(recommender: Recommender) -> None:
    genre = recommender.catalogue.genres[0]
    near = recommender.similar_items(7, k=5, min_ratings=0, genres=genre)
    assert len(near)
    assert near["genres"].str.contains(genre, regex=False).all()
    year = int(near["year"].iloc[0])
    assert set(recommender.similar_items(7, k=5, min_ratings=0, where=f"year=={year}")["year"]) == {year}
    with pytest.raises(DataError, match=r"^where=year==1: no item passes these filters"):
        recommender.similar_items(7, where="year==1")
