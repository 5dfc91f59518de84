import io
import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import hydra
import pandas as pd
import pytest
from support.commands import run as command
from support.finished import finished_run

from recsys.cli import recommend as module
from recsys.cli.quoting import quote_for_hydra
from recsys.errors import UserError
from recsys.inference.ratings_csv import read_ratings_csv
from recsys.inference.recommender import Recommender
from recsys.paths import conf_dir

Recommend = Callable[..., str]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return finished_run(tmp_path_factory.mktemp("run"))


@pytest.fixture
def recommend(run: Path, capsys: pytest.CaptureFixture[str]) -> Recommend:
    """Run the command in this process; returns its standard output."""

    def recommend(*overrides: str) -> str:
        with hydra.initialize_config_dir(conf_dir(), version_base="1.3"):
            module._task(hydra.compose("recommend", [f"run={run}", *map(quote_for_hydra, overrides)]))
        return capsys.readouterr().out

    return recommend


@pytest.fixture
def eve(tmp_path: Path) -> Path:
    file = tmp_path / "eve.csv"
    file.write_text("item,rating\nsynthetic item 3,5\n4,1\nSynthetic Item 5 (1935),4.5\n")
    return file


@pytest.mark.slow
def test_one_user_in_every_format(recommend: Recommend, run: Path) -> None:
    items = json.loads(recommend("user=9", "k=3", "format=json"))
    expected = Recommender.load(run).recommend(9, k=3)
    assert [list(item) for item in items] == [
        ["item", "title", "year", "genres", "prediction", "ratings"]
    ] * 3
    assert [item["item"] for item in items] == expected["item"].tolist()
    assert items[0]["prediction"] == pytest.approx(expected["prediction"][0], abs=1e-4)
    table = pd.read_csv(io.StringIO(recommend("user=9", "k=3", "format=csv")))
    assert table.to_dict("records") == items
    output = recommend("user=9", "k=3")
    for item in items:
        assert item["title"] in output
        assert f"{item['prediction']:.2f}" in output
        assert f" {item['year']} " in output


def test_filters(recommend: Recommend) -> None:
    items = json.loads(recommend("user=9", "genres=[drama]", "years=[1940,1960]", "format=json", "k=50"))
    assert {item["genres"] for item in items} == {"Drama"}
    assert all(1940 <= item["year"] <= 1960 for item in items)
    assert len(json.loads(recommend("user=9", "filter_seen=false", "k=500", "format=json"))) == 120


def test_a_new_user(recommend: Recommend, run: Path, eve: Path) -> None:
    recommender = Recommender.load(run)
    user = recommender.fold_in({3: 5, 4: 1, 5: 4.5})
    items = json.loads(recommend(f"ratings={eve}", "k=2", "format=json"))
    assert [item["item"] for item in items] == user.recommend(k=2)["item"].tolist()
    (item,) = json.loads(recommend(f"ratings={eve}", "item=Synthetic Item 8 (1938)", "format=json"))
    assert item["item"] == 8
    assert item["prediction"] == pytest.approx(user.predict(8), abs=1e-4)
    output = recommend(f"ratings={eve}", "item=8")
    assert f"eve.csv: 3 ratings explain {100 * user.explained:.0f} % of this user's taste" in output
    assert f"uncertainty ±{user.uncertainty(8):.2f}" in output
    (eve.parent / "one.csv").write_text("movieId,rating\n3,5\n")
    assert "one.csv: 1 rating explains " in recommend("ratings=one.csv")


def test_a_user_without_ratings_gets_the_most_rated_items(
    recommend: Recommend, run: Path, tmp_path: Path
) -> None:
    (tmp_path / "new.csv").write_text("item,rating\n")
    assert "new.csv: no ratings; the most popular items" in recommend("ratings=new.csv")
    items = json.loads(recommend("ratings=new.csv", "format=json", "k=4", "genres=Drama"))
    counts = [item["ratings"] for item in items]
    drama = Recommender.load(run).catalogue.rating_counts[1::2]
    assert counts == sorted(drama.tolist(), reverse=True)[:4]


def test_an_item_alone_and_with_a_user(recommend: Recommend, run: Path) -> None:
    recommender = Recommender.load(run)
    items = json.loads(recommend("item=synthetic item 7", "k=3", "format=json"))
    assert [item["item"] for item in items] == recommender.similar_items(7, k=3)["item"].tolist()
    assert "similar to Synthetic Item 7 (1937)" in recommend("item=7")
    (item,) = json.loads(recommend("user=9", "item=7", "format=json"))
    assert item["prediction"] == pytest.approx(recommender.predict(9, 7), abs=1e-4)


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_many_users_are_written_to_a_file(
    recommend: Recommend, run: Path, suffix: str, tmp_path: Path
) -> None:
    read = pd.read_csv if suffix == "csv" else pd.read_parquet
    assert recommend("users=all", "k=2", f"output=far/items.{suffix}") == ""
    all_users = read(tmp_path / "far" / f"items.{suffix}")
    assert all_users["user"].tolist() == [user for user in range(1, 201) for _ in range(2)]
    (tmp_path / "two.csv").write_text("user\n9\n4\n")
    recommend("users=two.csv", "k=2", "candidates=bf16", f"output=items.{suffix}")
    two_users = read(tmp_path / f"items.{suffix}")
    expected = Recommender.load(run).recommend([9, 4], k=2)
    assert two_users["user"].tolist() == [9, 9, 4, 4]
    assert two_users["item"].tolist() == expected["item"].tolist()


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["user=999"], "unknown user id: 999 (the nearest known: 200)"),
        (["user=eve"], "user ids are whole numbers here, which 'eve' is not"),
        (["user=9", "item=121"], "unknown item id: 121 (the nearest known: 120)"),
        (["user=9", "item=synthetic movi 12"], "Synthetic Item 12"),
        (["user=9", "item=-1"], "unknown item id: -1 (the nearest known: 1)"),
        (["user=9", "item=+1"], "item ids are whole numbers here, which '+1' is not (the nearest known: 1)"),
        (["item=①"], "item ids are whole numbers here, which '①' is not (the nearest known: 1)"),
        (["item=" + "9" * 5000], "(5,000 characters): ids and titles have at most 1000"),
        (["user=" + "9" * 5000], "99... (5,000 characters) (the nearest known: 200)"),
        (["user=+9"], "user ids are whole numbers here, which '+9' is not (the nearest known: 8, 9)"),
        (["user=1_0"], "user ids are whole numbers here, which '1_0' is not (the nearest known: 1)"),
        (["user=1e1"], "user ids are whole numbers here, which '1e1' is not"),
        (["users=long.csv", "output=items.csv"], "long.csv line 1: no column 'user'; the file has 'xxx"),
        (["users=two.csv", "output=items.csv"], "two.csv line 2: 2 fields expected, 3 found ('9,1,2')"),
        (
            ["users=quote.csv", "output=items.csv"],
            "quote.csv line 3: a quote is not closed in this line ('\"4')",
        ),
        (
            ["users=/dev/zero", "output=items.csv"],
            "users=/dev/zero: is a device; give the path of a CSV file",
        ),
        (["users=.", "output=items.csv"], "users=.: Is a directory"),
        (["user=9", "users=all"], "user= and users=: cannot be combined"),
        (["k=3"], "give user=, users=, ratings= or item="),
        (["users=all"], "users=: needs output=<file.csv or .parquet>"),
        (["users=all", "output=items.xls"], "output=items.xls: must end with .csv or .parquet"),
        (["user=9", "candidates=bf16"], "candidates=bf16: must be fp32"),
        (["users=all", "output=a.csv", "candidates=fp8"], "candidates=fp8: must be fp32"),
        (["users=none.csv", "output=items.csv"], "users=none.csv: No such file"),
        (["users=bad.csv", "output=items.csv"], "bad.csv line 3: unknown user id: 999"),
        (["users=eve.csv", "output=items.csv"], "eve.csv line 1: no column 'user'; the file has 'item'"),
        (["users=empty.csv", "output=items.csv"], "empty.csv: no users"),
        (["user=9", "k=0"], "k=0: must be a whole number of at least 1"),
        (["user=9", "years=[1,2,3]"], "years=[1, 2, 3]: must be a year"),
        (["user=9", "genres=Western"], "genres=Western: must be among Comedy, Drama, Romance"),
        (["user=9", "filter_seen=3"], "filter_seen=3: must be true or false"),
        (["ratings=none.csv"], "ratings=none.csv: No such file"),
        (["ratings=bad.csv"], "bad.csv line 1: no item column"),
    ],
)
def test_mistakes_are_refused_and_leave_no_files(
    recommend: Recommend, overrides: list[str], message: str, eve: Path, tmp_path: Path
) -> None:
    (tmp_path / "bad.csv").write_text("user\n9\n999\n")
    (tmp_path / "empty.csv").write_text("user\n")
    (tmp_path / "long.csv").write_text("x" * 100_000)
    (tmp_path / "two.csv").write_text("user,note\n9,1,2\n")
    (tmp_path / "quote.csv").write_text('user\n9\n"4\n9\n')
    before = set(tmp_path.iterdir())
    with pytest.raises(UserError) as caught:
        recommend(*overrides)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300
    assert set(tmp_path.iterdir()) == before


@pytest.mark.parametrize(
    "title",
    ["Star Trek: First Contact (1996)", "Postino, Il", "Schindler's List", "a=b", "50", "what\\'s", "{x}"],
)
def test_hydra_accepts_any_title(title: str) -> None:
    with hydra.initialize_config_dir(conf_dir(), version_base="1.3"):
        assert hydra.compose("recommend", [quote_for_hydra(f"item={title}")]).item == title


@pytest.mark.slow
@pytest.mark.parametrize("user", ["1e1", "1_0", "+1", "a,b", "true", "①", "9" * 5000, "it's"])
def test_hydra_accepts_any_user_id(user: str) -> None:
    with hydra.initialize_config_dir(conf_dir(), version_base="1.3"):
        assert hydra.compose("recommend", [quote_for_hydra(f"user={user}")]).user == user


def test_hydra_accepts_genres() -> None:
    for override, genres in (
        ("genres=[Children's,Sci-Fi, Film-Noir]", ["Children's", "Sci-Fi", "Film-Noir"]),
        ("genres=Drama", "Drama"),
        ("genres=['Children\\'s']", ["Children's"]),
    ):
        with hydra.initialize_config_dir(conf_dir(), version_base="1.3"):
            assert hydra.compose("recommend", [quote_for_hydra(override)]).genres == genres


@pytest.mark.parametrize(
    "argument", ["item=null", 'genres=["a"]', "genres=[]", "item='a'", "item=", "user=null", "k=9", "--help"]
)
def test_other_arguments_are_not_quoted(argument: str) -> None:
    assert quote_for_hydra(argument) == argument


@pytest.mark.slow
def test_as_a_process(run: Path, eve: Path, tmp_path: Path) -> None:
    before = set(tmp_path.iterdir())
    done: subprocess.CompletedProcess[str] = command(
        "recommend", f"run={run}", "ratings=eve.csv", "item=Synthetic Item 8 (1938)", "format=json"
    )
    assert json.loads(done.stdout)[0]["item"] == 8
    assert "3 ratings" in done.stderr
    assert set(tmp_path.iterdir()) == before, "the command leaves no folder"
    done = command("recommend", f"run={run}", "user=9", "item=synthetic", code=1)
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_the_example_in_the_help_is_a_valid_ratings_file(tmp_path: Path) -> None:
    text = (Path(conf_dir()) / "recommend.yaml").read_text()
    lines = text[text.index("        item,rating\n") :].splitlines()
    (tmp_path / "eve.csv").write_text("\n".join(line.strip() for line in lines))
    assert len(read_ratings_csv(tmp_path / "eve.csv", len, (1, 5))) == 2
