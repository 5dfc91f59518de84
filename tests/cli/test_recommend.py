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
from recsys.cli.app import quote_for_hydra as quoted
from recsys.errors import UserError
from recsys.inference.ratings_csv import read_ratings_csv
from recsys.inference.recommender import Recommender
from recsys.paths import conf_dir

Ask = Callable[..., str]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return finished_run(tmp_path_factory.mktemp("run"))


@pytest.fixture
def ask(run: Path, capsys: pytest.CaptureFixture[str]) -> Ask:
    """What the command prints on standard output, asked without a process of its own."""

    def ask(*words: str) -> str:
        with hydra.initialize_config_dir(conf_dir(), version_base="1.3"):
            module._task(hydra.compose("recommend", [f"run={run}", *map(quoted, words)]))
        return capsys.readouterr().out

    return ask


@pytest.fixture
def eve(tmp_path: Path) -> Path:
    file = tmp_path / "eve.csv"
    file.write_text("item,rating\nsynthetic item 3,5\n4,1\nSynthetic Item 5 (1935),4.5\n")
    return file


def test_one_user_in_every_format(ask: Ask, run: Path) -> None:
    items = json.loads(ask("user=9", "k=3", "format=json"))
    expected = Recommender.load(run).recommend(9, k=3)
    assert [list(item) for item in items] == [
        ["item", "title", "year", "genres", "prediction", "ratings"]
    ] * 3
    assert [item["item"] for item in items] == expected["item"].tolist()
    assert items[0]["prediction"] == pytest.approx(expected["prediction"][0], abs=1e-4)
    table = pd.read_csv(io.StringIO(ask("user=9", "k=3", "format=csv")))
    assert table.to_dict("records") == items
    told = ask("user=9", "k=3")
    for item in items:
        assert item["title"] in told
        assert f"{item['prediction']:.2f}" in told
        assert f" {item['year']} " in told


def test_filters(ask: Ask) -> None:
    items = json.loads(ask("user=9", "genres=[drama]", "years=[1940,1960]", "format=json", "k=50"))
    assert {item["genres"] for item in items} == {"Drama"}
    assert all(1940 <= item["year"] <= 1960 for item in items)
    assert len(json.loads(ask("user=9", "filter_seen=false", "k=500", "format=json"))) == 120


def test_somebody_new(ask: Ask, run: Path, eve: Path) -> None:
    recommender = Recommender.load(run)
    person = recommender.fold_in({3: 5, 4: 1, 5: 4.5})
    items = json.loads(ask(f"ratings={eve}", "k=2", "format=json"))
    assert [item["item"] for item in items] == person.recommend(k=2)["item"].tolist()
    (item,) = json.loads(ask(f"ratings={eve}", "item=Synthetic Item 8 (1938)", "format=json"))
    assert item["item"] == 8
    assert item["prediction"] == pytest.approx(person.predict(8), abs=1e-4)
    told = ask(f"ratings={eve}", "item=8")
    assert f"3 ratings, which tell {person.known:.0%} of what sets a person apart" in told
    assert f"uncertain by {person.uncertainty(8):.2f}" in told


def test_an_empty_file_gets_the_popular_films(ask: Ask, run: Path, tmp_path: Path) -> None:
    (tmp_path / "new.csv").write_text("item,rating\n")
    assert "holds no ratings: the most rated items" in ask("ratings=new.csv")
    items = json.loads(ask("ratings=new.csv", "format=json", "k=4", "genres=Drama"))
    counts = [item["ratings"] for item in items]
    drama = Recommender.load(run).catalogue.ratings[1::2]
    assert counts == sorted(drama.tolist(), reverse=True)[:4]


def test_a_film_alone_and_with_a_user(ask: Ask, run: Path) -> None:
    recommender = Recommender.load(run)
    items = json.loads(ask("item=synthetic item 7", "k=3", "format=json"))
    assert [item["item"] for item in items] == recommender.similar_items(7, k=3)["item"].tolist()
    assert "similar to Synthetic Item 7 (1937)" in ask("item=7")
    (item,) = json.loads(ask("user=9", "item=7", "format=json"))
    assert item["prediction"] == pytest.approx(recommender.predict(9, 7), abs=1e-4)


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_many_users_go_to_a_file(ask: Ask, run: Path, suffix: str, tmp_path: Path) -> None:
    read = pd.read_csv if suffix == "csv" else pd.read_parquet
    assert ask("users=all", "k=2", f"output=far/items.{suffix}") == ""
    every = read(tmp_path / "far" / f"items.{suffix}")
    assert every["user"].tolist() == [user for user in range(1, 201) for _ in range(2)]
    (tmp_path / "some.csv").write_text("user\n9\n4\n")
    ask("users=some.csv", "k=2", "candidates=bf16", f"output=items.{suffix}")
    some = read(tmp_path / f"items.{suffix}")
    expected = Recommender.load(run).recommend([9, 4], k=2)
    assert some["user"].tolist() == [9, 9, 4, 4]
    assert some["item"].tolist() == expected["item"].tolist()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["user=999"], "unknown user id: 999 (the nearest known: 200)"),
        (["user=eve"], "user ids are whole numbers here, which 'eve' is not"),
        (["user=9", "item=121"], "item='121': no item is called so"),
        (["user=9", "item=synthetic movi 12"], "the nearest: Synthetic Item 12"),
        (["user=9", "users=all"], "user= and users=: one of them at a time"),
        (["users=all"], "users= needs output=<file.csv or .parquet>"),
        (["users=all", "output=items.xls"], "output=items.xls: a file that ends with .csv or .parquet"),
        (["user=9", "candidates=bf16"], "candidates=bf16: fp32, or with users= also bf16 or int8"),
        (["users=all", "output=a.csv", "candidates=fp8"], "candidates=fp8: fp32, or with users="),
        (["users=none.csv", "output=items.csv"], "users=none.csv: No such file"),
        (["users=bad.csv", "output=items.csv"], "bad.csv line 3: unknown user id: 999"),
        (["users=eve.csv", "output=items.csv"], "eve.csv line 1: no column 'user'; the file has 'item'"),
        (["user=9", "k=0"], "k=0: a whole number from 1 expected"),
        (["user=9", "years=[1,2,3]"], "years=[1, 2, 3]: a year, or the first and the last one"),
        (["user=9", "genres=Western"], "genres=Western: the items have Comedy, Drama, Romance"),
        (["user=9", "filter_seen=3"], "filter_seen=3: true or false"),
        (["ratings=none.csv"], "ratings=none.csv: No such file"),
        (["ratings=bad.csv"], "bad.csv line 1: no column 'item'"),
    ],
)
def test_mistakes(ask: Ask, words: list[str], told: str, eve: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.csv").write_text("user\n9\n999\n")
    before = set(tmp_path.iterdir())
    with pytest.raises(UserError) as caught:
        ask(*words)
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)
    assert set(tmp_path.iterdir()) == before


@pytest.mark.parametrize(
    "title",
    ["Star Trek: First Contact (1996)", "Postino, Il", "Schindler's List", "a=b", "50", "what\\'s", "{x}"],
)
def test_any_title_passes_through_hydra(title: str) -> None:
    with hydra.initialize_config_dir(conf_dir(), version_base="1.3"):
        assert hydra.compose("recommend", [quoted(f"item={title}")]).item == title


def test_genres_pass_through_hydra() -> None:
    for words, genres in (
        ("genres=[Children's,Sci-Fi, Item-Noir]", ["Children's", "Sci-Fi", "Item-Noir"]),
        ("genres=Drama", "Drama"),
        ("genres=['Children\\'s']", ["Children's"]),
    ):
        with hydra.initialize_config_dir(conf_dir(), version_base="1.3"):
            assert hydra.compose("recommend", [quoted(words)]).genres == genres


@pytest.mark.parametrize(
    "word", ["item=null", 'genres=["a"]', "genres=[]", "item='a'", "item=", "user=9", "--help"]
)
def test_other_words_are_left_alone(word: str) -> None:
    assert quoted(word) == word


def test_the_command_itself(run: Path, eve: Path, tmp_path: Path) -> None:
    before = set(tmp_path.iterdir())
    done: subprocess.CompletedProcess[str] = command(
        "recommend", f"run={run}", "ratings=eve.csv", "item=Synthetic Item 8 (1938)", "format=json"
    )
    assert json.loads(done.stdout)[0]["item"] == 8
    assert "3 ratings" in done.stderr
    assert set(tmp_path.iterdir()) == before, "it leaves no folder"
    done = command("recommend", f"run={run}", "user=9", "item=synthetic", code=1)
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_the_example_of_the_help_is_a_ratings_file(tmp_path: Path) -> None:
    text = (Path(conf_dir()) / "recommend.yaml").read_text()
    lines = text[text.index("        item,rating\n") :].splitlines()
    (tmp_path / "eve.csv").write_text("\n".join(line.strip() for line in lines))
    assert len(read_ratings_csv(tmp_path / "eve.csv", lambda title: len(title), (1, 5))) == 2
