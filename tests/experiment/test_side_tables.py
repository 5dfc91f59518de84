"""Tables of items and users next to the ratings, from files to recommendations."""

import gzip
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from pyarrow import parquet
from support.commands import run
from support.training import interrupted, train_result

from recsys.data.sources.table import Table
from recsys.errors import ConfigError, DataError, RunError
from recsys.experiment.train import train
from recsys.inference.recommender import Recommender
from recsys.runs.load import load_run
from recsys.runs.ratings import load_ratings

N_USERS, N_ITEMS = 150, 60
FAST = [
    "hardware=cpu",
    "logger=none",
    "snapshots=1",
    "optimizer.lr=0.01",
    "batch_size=200",
    "l2.vectors=0.01",
]


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """Write ratings that follow from features: members of team A like red items, others blue ones.

    Items 50 to 59 are in the table of items and have no ratings.
    """
    random = np.random.default_rng(0)
    items = pd.DataFrame(
        {
            "sku": [f"s{number:02d}" for number in range(N_ITEMS)],
            "title": [f"Thing {number}" for number in range(N_ITEMS)],
            "colour": ["red" if number % 2 else "blue" for number in range(N_ITEMS)],
            "price": np.arange(N_ITEMS) + 0.5,
            "tags": ["new|light" if number % 3 else "light" for number in range(N_ITEMS)],
            "text": list(random.normal(size=(N_ITEMS, 4)).astype(np.float32)),
        }
    )
    users = pd.DataFrame(
        {"who": range(N_USERS), "team": ["A" if user % 2 else "B" for user in range(N_USERS)]}
    )
    rows = []
    for user in range(N_USERS):
        for item in random.choice(50, 15, replace=False):
            likes = (user % 2) == (item % 2)
            rows.append(
                (user, f"s{item:02d}", int(np.clip(round(random.normal(4.3 if likes else 1.7, 0.4)), 1, 5)))
            )
    pd.DataFrame(rows, columns=["who", "sku", "stars"]).to_csv(tmp_path / "ratings.csv", index=False)
    items.to_parquet(tmp_path / "items.parquet")
    (tmp_path / "users.csv").write_bytes(gzip.compress(users.to_csv(index=False).encode()))
    return tmp_path


def keys(files: Path, *more: str) -> list[str]:
    names = ["data.user=who", "data.item=sku", "data.rating=stars"]
    paths = {"path": "ratings.csv", "items": "items.parquet", "users": "users.csv"}
    return ["data=table", *(f"data.{key}={files / name}" for key, name in paths.items()), *names, *more]


def source(files: Path, **options: object) -> Table:
    paths = {
        "path": str(files / "ratings.csv"),
        "items": str(files / "items.parquet"),
        "users": str(files / "users.csv"),
    }
    return Table(**{**paths, "user": "who", "item": "sku", "rating": "stars", **options})  # type: ignore[arg-type]


def test_items_of_the_table_are_in_the_catalogue_with_titles_and_features(files: Path) -> None:
    dataset = source(files).load()
    assert len(dataset.item_ids) == N_ITEMS
    assert len(dataset.user_ids) == N_USERS
    assert dataset.item_table["title"].tolist()[:2] == ["Thing 0", "Thing 1"]
    assert dataset.item_table["price"].tolist()[:2] == [0.5, 1.5]
    assert dataset.item_features is not None
    assert dataset.item_features.names[:3] == ["colour=blue", "colour=red", "price"]
    assert dataset.item_features.values[:2, :2].tolist() == [[1, 0], [0, 1]]
    assert dataset.user_features is not None
    assert dataset.user_features.names == ["team=A", "team=B"]
    again = source(files).load()  # from the cache
    np.testing.assert_array_equal(again.item_features.values, dataset.item_features.values)  # type: ignore[union-attr]


def test_a_changed_table_is_read_again(files: Path) -> None:
    source(files).load()
    table = pd.read_parquet(files / "items.parquet").assign(price=1.0, weight=np.arange(N_ITEMS) * 1.0)
    table.to_parquet(files / "items.parquet")
    features = source(files).load().item_features
    assert features is not None
    assert "weight" in features.names
    assert "price" not in features.names  # constant


def test_ids_are_compared_as_text_if_one_file_has_text_ids(tmp_path: Path) -> None:
    (tmp_path / "r.csv").write_text("user,item,rating\n1,10,4\n1,20,5\n2,10,3\n")
    (tmp_path / "i.csv").write_text("item,title\n10,Ten\nA7,New\n")
    dataset = Table(str(tmp_path / "r.csv"), items=str(tmp_path / "i.csv")).load()
    assert dataset.item_ids.ids.tolist() == ["10", "20", "A7"]
    assert dataset.item_table["title"].tolist() == ["Ten", "item 20", "New"]
    assert dataset.user_ids.ids.tolist() == [1, 2]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("product,title\n10,Ten\n", r"no column 'item'; the file has 'product', 'title'"),
        ("item,title\n10,Ten\n10,Tenth\n", "id 10 occurs twice"),
        ("item,title\n10,Ten\n,None\n", "row 2: id '' is empty"),
        ("item,title\nx,Ten\ny,None\n", "has none of the ids in data.path, such as '10'"),
        ("item,title\n10,Ten,3\n", r"CSV parse error.*Expected 2 columns, got 3"),
        ("item,a,a\n10,1,2\n", "several columns are called 'a'"),
        ("item,title\n", "has no rows below the header"),
    ],
)
def test_bad_tables_are_named(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "r.csv").write_text("user,item,rating\n1,10,4\n")
    (tmp_path / "i.csv").write_text(text)
    with pytest.raises(DataError, match=rf"data\.items.*{message}"):
        Table(str(tmp_path / "r.csv"), items=str(tmp_path / "i.csv")).load()


def test_text_that_is_not_utf8_is_reported(tmp_path: Path) -> None:
    (tmp_path / "r.csv").write_text("user,item,rating\n1,10,4\n")
    for content in (b"item,title\n10,caf\xe9\n", b"item,t\xefle\n10,a\n"):
        (tmp_path / "i.csv").write_bytes(content)
        with pytest.raises(DataError, match=r"data\.items=.*UTF-8"):
            Table(str(tmp_path / "r.csv"), items=str(tmp_path / "i.csv")).load()


def test_titles_are_kept_as_they_are(tmp_path: Path) -> None:
    titles = ["300", "A | B", "NA", "null", "|", "2026-01-01"]
    (tmp_path / "r.csv").write_text("user,item,rating\n1,NA,4\n1,b,2\n")
    for texts in (titles, ["300", "20", "7", "1", "2", "3"], ["2026-01-01"] * 5 + ["2026-02-01"]):
        rows = "".join(
            f"{id},{text}\n" for id, text in zip(("NA", "b", "c", "d", "e", "null"), texts, strict=True)
        )
        (tmp_path / "i.csv").write_text("item,title\n" + rows)
        dataset = Table(str(tmp_path / "r.csv"), items=str(tmp_path / "i.csv")).load()
        assert dict(zip(dataset.item_ids.ids.tolist(), dataset.item_table["title"], strict=True)) == dict(
            zip(("NA", "b", "c", "d", "e", "null"), texts, strict=True)
        )


def test_years_that_are_none_are_unknown(tmp_path: Path) -> None:
    (tmp_path / "r.csv").write_text("user,item,rating\n" + "".join(f"1,{item},4\n" for item in range(5)))
    years = ["1990", "19990101", "3000000000", "inf", ""]
    rows = "".join(f"{item},{year}\n" for item, year in enumerate(years))
    (tmp_path / "i.csv").write_text("item,year\n" + rows)
    table = Table(str(tmp_path / "r.csv"), items=str(tmp_path / "i.csv")).load().item_table
    assert table["year"].fillna(0).tolist() == [1990, 0, 0, 0, 0]


@pytest.mark.slow
def test_missing_values_are_saved_with_the_run_and_dates_are_printed(compose, tmp_path: Path) -> None:
    (tmp_path / "r.csv").write_text(
        "user,item,rating\n"
        + "".join(f"{user},{item},{1 + (user + item) % 5}\n" for user in range(30) for item in range(6))
    )
    (tmp_path / "i.csv").write_text(
        "item,price,added,brand\n0,,2026-01-02,\n1,2.5,,B\n2,inf,2026-05-01T10:00:00,A\n"
    )
    names = {"path": "r.csv", "items": "i.csv"}
    paths = [f"data.{key}={tmp_path / name}" for key, name in names.items()]
    cfg = compose("data=table", *paths, *FAST, "model=bias", "max_epochs=1", "ranking.k=0")
    train_result(cfg, tmp_path / "run")
    table = (
        Recommender.load(tmp_path / "run")
        .recommend(1, k=6, min_ratings=0, filter_seen=False)
        .set_index("item")
    )
    assert table["price"].isna().to_dict() == {0: True, 1: False, 2: True, 3: True, 4: True, 5: True}
    assert table["added"].notna().sum() == 2
    done = run(
        "recommend", f"run={tmp_path / 'run'}", "user=1", "min_ratings=0", "filter_seen=false", "format=json"
    )
    rows = {row["item"]: row for row in json.loads(done.stdout)}
    assert (rows[0]["added"], rows[1]["added"], rows[2]["added"]) == (
        "2026-01-02",
        None,
        "2026-05-01T10:00:00",
    )


def test_a_missing_table_is_reported_before_anything_is_read(compose, files: Path) -> None:
    with pytest.raises(ConfigError, match=r"data\.users=nowhere\.csv: No such file"):
        train_result(compose(*keys(files, "data.users=nowhere.csv")), files / "run")


@pytest.mark.slow
def test_items_without_ratings_are_ranked_by_their_features(compose, files: Path) -> None:
    result = train_result(compose(*keys(files), *FAST, "max_epochs=30", "patience=30"), files / "run")
    assert result["metrics"]["test/rmse"] < 0.75 * result["baselines"]["user-item-bias"]["test/rmse"]
    recommender = Recommender.load(files / "run")
    table = recommender.recommend(1, k=5, min_ratings=0, where="price>50")
    assert table["item"].isin([f"s{number}" for number in range(51, 60)]).all()
    assert (table["colour"] == "red").all()
    assert (recommender.recommend(2, k=5, min_ratings=0, where="price>50")["colour"] == "blue").all()
    shown = run(
        "recommend", f"run={files / 'run'}", "user=1", "where='new' in tags and price<20", "k=3", "format=csv"
    )
    rows = shown.stdout.splitlines()
    assert rows[0].startswith("item,title,year,genres,colour,price,tags,")
    assert len(rows) == 4


@pytest.mark.slow
def test_a_new_item_is_predicted_from_its_features(compose, files: Path) -> None:
    train_result(compose(*keys(files), *FAST, "max_epochs=5", "loss=pointwise"), files / "run")
    recommender = Recommender.load(files / "run")
    red, blue = (
        recommender.fold_in_item(features={"colour": colour, "price": 20}) for colour in ("red", "blue")
    )
    likes_red, likes_blue = list(range(1, 60, 2)), list(range(0, 60, 2))
    assert red.predict(likes_red).mean() > blue.predict(likes_red).mean() + 1
    assert red.predict(likes_blue).mean() < blue.predict(likes_blue).mean() - 1
    assert red.predict([1]) == recommender.fold_in_item(features={"colour": "red", "price": 20.0}).predict(
        [1]
    )
    row = pd.Series({"colour": "red", "price": 20.0, "tags": None})  # missing: unknown
    assert recommender.fold_in_item(features=row).predict([1]) == red.predict([1])
    dear, dearest = (
        recommender.fold_in_item(features={"price": price}).predict([1])[0] for price in (59.5, 1e9)
    )
    assert dear == dearest  # the highest known price
    for features, message in (
        ({"color": "red"}, "the items have no column 'color'; they have .*'colour', 'price', 'tags'"),
        ({"color": None}, "the items have no column 'color'"),
        ({"price": "cheap"}, "column 'price' has numbers, 'cheap' is not"),
        ({"price": float("inf")}, "column 'price' has numbers, .*inf.* is not"),
        ({"price": np.float32("-inf")}, "column 'price' has numbers, .*inf.* is not"),
        ({"colour": 3}, "column 'colour' has no value '3'; it has 'blue', 'red'"),
        ({"tags": "new|old"}, "column 'tags' has no value 'old'; it has 'light', 'new'"),
        ([("price", 3)], "a list has no names; give {column: value}"),
        (pd.DataFrame({"price": [3]}), "a DataFrame has no names"),
    ):
        with pytest.raises(DataError, match=f"features: {message}"):
            recommender.fold_in_item(features=features)
    with pytest.raises(DataError, match="cannot be combined with genres"):
        recommender.fold_in_item(features={"price": 3}, year=1990)


CHANGES = {
    "an id": ("items.parquet", lambda table: table.replace({"sku": {"s55": "a55"}})),
    "one more item": (
        "items.parquet",
        lambda table: pd.concat([table, table.assign(sku="t" + table["sku"])]),
    ),
    "a feature": ("items.parquet", lambda table: table.replace({"colour": {"red": "blue", "blue": "red"}})),
    "a user": ("users.csv", lambda table: table.replace({"team": {"A": "B", "B": "A"}})),
}


def rewrite(file: Path, change: Callable[[pd.DataFrame], pd.DataFrame]) -> None:
    if file.suffix == ".parquet":
        change(pd.read_parquet(file)).to_parquet(file)
    else:
        text = change(pd.read_csv(file, compression="gzip")).to_csv(index=False)
        file.write_bytes(gzip.compress(text.encode()))


@pytest.mark.slow
def test_a_changed_table_is_noticed_by_all_that_read_it_again(compose, files: Path) -> None:
    """Ids decide which index an item has, so a network would score other items."""
    cfg = compose(*keys(files), *FAST, "max_epochs=3", "schedule.cycle_epochs=1", "model=history")
    train_result(cfg, files / "run")
    interrupted(cfg, files / "unfinished", step=12)
    originals = {name: (files / name).read_bytes() for name in ("items.parquet", "users.csv")}
    for name, edit in CHANGES.values():
        rewrite(files / name, edit)
        with pytest.raises(RunError, match="or ids or features in the tables of items and users"):
            load_ratings(load_run(str(files / "run")))
        with pytest.raises(
            RunError, match=r"tables of items and users, or another version .*; start a new run"
        ):
            train(cfg, files / "unfinished", resume=True)
        assert len(Recommender.load(files / "run").recommend(0, k=3, min_ratings=0)) == 3
        (files / name).write_bytes(originals[name])
    rewrite(files / "items.parquet", lambda table: table.assign(title="Thing"))
    assert len(load_ratings(load_run(str(files / "run"))).dataset) == N_USERS * 15
    assert train(cfg, files / "unfinished", resume=True).result["status"] == "completed"


def test_a_title_column_that_is_missing_is_reported(tmp_path: Path) -> None:
    (tmp_path / "r.csv").write_text("user,item,rating\n1,10,4\n")
    (tmp_path / "i.csv").write_text("item,name\n10,Ten\n")
    with pytest.raises(
        DataError, match=r"data\.title=nosuch: the table of items has no such column; it has 'name'"
    ):
        Table(str(tmp_path / "r.csv"), items=str(tmp_path / "i.csv"), title="nosuch").load()


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_dates_as_text_are_dates_in_any_format(suffix: str, tmp_path: Path) -> None:
    (tmp_path / "r.csv").write_text("user,item,rating\n1,0,4\n1,1,3\n")
    table = pd.DataFrame({"item": [0, 1, 2], "added": ["2026-01-01", "2026-01-03", "2026-01-02"]})
    path = tmp_path / f"i.{suffix}"
    table.to_csv(path, index=False) if suffix == "csv" else table.to_parquet(path)
    dataset = Table(str(tmp_path / "r.csv"), items=str(path)).load()
    assert dataset.item_features is not None
    assert dataset.item_features.names == ["added"]
    assert dataset.item_table["added"].dt.day.tolist() == [1, 3, 2]


def test_quoted_fields_of_a_large_table_may_have_line_breaks(tmp_path: Path) -> None:
    (tmp_path / "r.csv").write_text("user,item,rating\n1,0,4\n1,1,3\n")
    rows = "".join(f'{item},{item % 2},"line one\nline {item} {"x" * 200}"\n' for item in range(8000))
    (tmp_path / "i.csv").write_text("item,kind,text\n" + rows)
    assert len(Table(str(tmp_path / "r.csv"), items=str(tmp_path / "i.csv")).load().item_ids) == 8000


def test_equal_long_texts_of_a_small_parquet_file_are_refused(tmp_path: Path) -> None:
    (tmp_path / "r.csv").write_text("user,item,rating\n1,0,4\n1,1,3\n")
    codes, one = pa.array(np.zeros(2000, np.int32)), pa.array(["x" * 1_000_000])
    texts = pa.DictionaryArray.from_arrays(codes, one)
    parquet.write_table(
        pa.table({"item": np.arange(2000), "text": texts}), tmp_path / "i.parquet", compression="zstd"
    )
    with pytest.raises(DataError, match=r"column 'text' has texts of more than .* bytes in all"):
        Table(str(tmp_path / "r.csv"), items=str(tmp_path / "i.parquet")).load()
