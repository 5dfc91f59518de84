"""Interactions without ratings: what docs/implicit-feedback.md promises, from a raw log to recommendations."""

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from support.commands import result_in, run
from support.training import train_result

from recsys.cli.recommend import recommend
from recsys.errors import ConfigError, DataError
from recsys.inference.recommender import Recommender
from recsys.runs.checkpoint import load_checkpoint
from recsys.runs.folder import checkpoint_in

GROUPS, PER_GROUP = 4, 10  # items of a group are bought together
N_USERS = 120
FAST = ["hardware=cpu", "logger=none", "optimizer.lr=0.02", "batch_size=200"]


def click_log(path: Path) -> Path:
    """Write a log in which each customer has 7 of the 10 items of one group, some of them several times."""
    random = np.random.default_rng(0)
    rows = []
    for customer in range(N_USERS):
        group = customer % GROUPS
        for item in random.choice(PER_GROUP, 7, replace=False):
            for _ in range(random.integers(1, 4)):
                time = pd.Timestamp("2026-01-01", tz="UTC") + pd.Timedelta(int(random.integers(10**7)), "s")
                rows.append((f"c{customer:04d}", f"sku-{PER_GROUP * group + item:03d}", time.isoformat()))
    pd.DataFrame(rows, columns=["customer", "sku", "clicked_at"]).to_csv(path, index=False)
    return path


def keys(log: Path, *more: str) -> list[str]:
    return [
        "data=table",
        f"data.path={log}",
        "data.user=customer",
        "data.item=sku",
        "data.rating=null",
        "data.duplicates=count",
        "data.time=clicked_at",
        *more,
    ]


def group_of(item: str) -> int:
    return int(item.removeprefix("sku-")) // PER_GROUP


def test_a_ranking_loss_is_chosen_and_recorded(compose, tmp_path: Path) -> None:
    log = click_log(tmp_path / "clicks.csv")
    result = train_result(compose(*keys(log), *FAST, "max_epochs=1"), tmp_path / "run")
    assert result["data"]["has_ratings"] is False
    assert result["objective"]["name"] == "val/ndcg@10"
    assert set(result["baselines"]) == {"popularity"}
    assert not any("rmse" in name or "mae" in name for name in result["metrics"])
    loss = load_checkpoint(checkpoint_in(tmp_path / "run")).config["loss"]
    assert loss["_target_"] == "recsys.training.losses.SampledSoftmax"
    assert "loss" in (tmp_path / "run/.hydra/config.yaml").read_text()


@pytest.mark.parametrize(
    "model",
    [
        "matrix-factorization",
        *(
            pytest.param(name, marks=pytest.mark.slow)
            for name in ("history", "embedding-net", "neumf", "bias")
        ),
    ],
)
def test_every_network_learns_interactions(model: str, compose, tmp_path: Path) -> None:
    log = click_log(tmp_path / "clicks.csv")
    epochs = 2 if model == "bias" else 20
    options = ["snapshots=1", "patience=20", f"max_epochs={epochs}", "l2.vectors=0"]
    result = train_result(compose(*keys(log), *FAST, *options, f"model={model}"), tmp_path / "run")
    value, popularity = result["metrics"]["test/ndcg@10"], result["baselines"]["popularity"]["test/ndcg@10"]
    if model != "bias":
        assert value > 2 * popularity
    recommender = Recommender.load(tmp_path / "run")
    table = recommender.recommend("c0000", k=3, min_ratings=0)
    assert table.columns.tolist() == ["item", "title", "year", "genres", "prediction", "interactions"]
    if model in ("history", "matrix-factorization"):
        own = recommender.fold_in(["sku-021", "sku-024", "sku-021", "sku-028"]).recommend(k=4, min_ratings=0)
        assert {group_of(item) for item in own["item"]} == {2}


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (
            ["loss=joint"],
            "loss=joint: learns ratings, but the rows have none .* use loss=softmax, loss=bpr or loss=auto",
        ),
        (["loss=pointwise"], "loss=pointwise: learns ratings"),
        (["ranking.threshold=1"], "ranking.threshold=1: not possible with data.rating=null"),
        (["ranking.k=0"], "ranking.k=0: the loss SampledSoftmax selects weights by val/ndcg@10"),
        (["data.rating=when"], "data.duplicates=count: rows with ratings cannot be counted"),
    ],
)
def test_what_needs_ratings_is_refused_before_training(
    more: list[str], message: str, compose, tmp_path: Path
) -> None:
    log = click_log(tmp_path / "clicks.csv")
    with pytest.raises(ConfigError, match=message):
        train_result(compose(*keys(log), *FAST, *more), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_weights_need_interactions(compose, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"loss\.weights=count: needs interactions \(data\.rating=null\)"):
        train_result(compose("data=synthetic", "loss=bpr", "loss.weights=count"), tmp_path / "run")


@pytest.mark.slow
def test_the_commands_of_the_page_work(tmp_path: Path) -> None:
    """They run in one folder, one after the other, with short trainings and the file names of the page."""
    page = (Path(__file__).parents[2] / "docs/implicit-feedback.md").read_text()
    click_log(Path("clicks.csv"))
    Path("new-customer.csv").write_text("sku\nsku-012\nsku-015\n")
    blocks = re.findall(r"```bash\n(.*?)```", page, re.S)
    commands = [line.split(" #")[0].split() for block in blocks for line in block.splitlines()]
    short = ["max_epochs=2", "snapshots=1", *FAST]
    shown = {}
    for name, *arguments in commands:
        command = name.removeprefix("recsys-")
        known = [argument.replace("c0012", "c0001").replace("sku-042", "sku-002") for argument in arguments]
        more = {"train": short, "recommend": ["format=json", "min_ratings=0"]}.get(command, [])
        shown[" ".join(arguments)] = run(
            command, *known, *(more if "output=" not in " ".join(known) else [])
        ).stdout
    assert result_in(sorted(Path("outputs/runs").iterdir())[0])["status"] == "completed"
    new = json.loads(shown["ratings=new-customer.csv"])
    assert len(new) == 10
    assert not {"sku-012", "sku-015"} & {row["item"] for row in new}
    everyone = pd.read_parquet("recommendations.parquet")
    assert everyone["user"].nunique() == N_USERS


def test_the_file_of_a_new_user_needs_the_item_column_only(compose, tmp_path: Path) -> None:
    log = click_log(tmp_path / "clicks.csv")
    train_result(compose(*keys(log), *FAST, "max_epochs=1", "snapshots=1"), tmp_path / "run")
    recommender = Recommender.load(tmp_path / "run")
    file = tmp_path / "new.csv"
    recommended = []
    for text in ("sku\nsku-001\nsku-001\n", "item\nsku-001\n", "title,item,rating\nx,sku-001,9\n"):
        file.write_text(text)
        recommended.append(recommender.fold_in_file(file).recommend(min_ratings=0)["item"].tolist())
    assert recommended[0] == recommended[1] == recommended[2]
    file.write_text("product\nsku-001\n")
    with pytest.raises(
        DataError, match=r"no item column \(sku, item, movie, movieId, title\); the file has 'product'"
    ):
        recommender.fold_in_file(file)
    with pytest.raises(DataError, match="give a list of items"):
        recommender.fold_in("sku-001")


def test_the_user_column_of_a_file_of_users_has_the_name_that_it_has_in_the_data(
    compose, tmp_path: Path
) -> None:
    log = click_log(tmp_path / "clicks.csv")
    train_result(compose(*keys(log), *FAST, "max_epochs=1", "snapshots=1"), tmp_path / "run")
    wanted = pd.read_csv(log)["customer"].unique()[:2].tolist()
    for column in ("customer", "user"):
        file = tmp_path / f"{column}.csv"
        pd.DataFrame({"name": ["A", "B"], column: wanted}).to_csv(file, index=False)
        options = [f"run={tmp_path / 'run'}", f"users={file}", f"output={tmp_path / 'items.csv'}"]
        items, title = recommend(compose(*options, name="recommend"))
        assert title == "2 users"
        assert items["user"].unique().tolist() == wanted
    file.write_text("visitor\n1\n")
    with pytest.raises(DataError, match="line 1: no column 'customer' or 'user'; the file has 'visitor'"):
        recommend(compose(*options, name="recommend"))


def test_a_new_item_is_known_by_its_features(compose, tmp_path: Path) -> None:
    """Customers of a group buy items of one category, so they want a new item of that category."""
    log = click_log(tmp_path / "clicks.csv")
    items = pd.DataFrame({"sku": [f"sku-{n:03d}" for n in range(GROUPS * PER_GROUP)]})
    items["category"] = [f"c{n // PER_GROUP}" for n in range(len(items))]
    items["tags"] = items["category"] + "|all"
    items.to_csv(tmp_path / "items.csv", index=False)
    more = [f"data.items={tmp_path / 'items.csv'}", *FAST, "max_epochs=4", "snapshots=1"]
    train_result(compose(*keys(log, *more)), tmp_path / "run")
    recommender = Recommender.load(tmp_path / "run")
    customers = [f"c{number:04d}" for number in range(N_USERS)]
    scores = np.array(
        [recommender.fold_in_item(features={"category": f"c{n}"}).predict(customers) for n in range(GROUPS)]
    )
    assert (scores.argmax(0) == np.arange(N_USERS) % GROUPS).mean() > 0.9
    by_tags = [
        recommender.fold_in_item(features={"tags": tags}).predict(customers) for tags in (["c1"], "c1")
    ]
    assert by_tags[0].tolist() == by_tags[1].tolist()
