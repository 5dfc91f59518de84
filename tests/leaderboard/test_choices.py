"""Runs that were started differently are compared by their configurations."""

from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf
from support.run_records import write_run

from recsys.leaderboard.board import Board
from recsys.leaderboard.ranking import Configuration, rank
from recsys.leaderboard.runs import read_runs
from recsys.leaderboard.table import table


def write(
    folder: Path, overrides: list[str], value: float, experiment: str | None = None, **config: Any
) -> None:
    """Write the result and the recorded configuration of a run of `model=mlp` or of the model that it names."""
    write_run(folder, overrides, value)
    model = config.pop("model", "mlp")
    widths = {"hidden": [64, 32]} if model == "mlp" else {}
    whole = {
        "seed": config.pop("seed", 1),
        "output_dir": str(folder),
        "optimizer": {"_target_": "torch.optim.Adam", "lr": config.pop("lr", 0.001)},
        "model": {"_target_": f"recsys.{model}", "dim": 32, **widths},
        **config,
    }
    choices = {"model": model, "experiment": experiment, "hydra/launcher": "x"}
    (folder / ".hydra").mkdir()
    OmegaConf.save({"hydra": {"runtime": {"choices": choices}}}, folder / ".hydra" / "hydra.yaml")
    OmegaConf.save(whole, folder / ".hydra" / "config.yaml")


def ranked(folder: Path) -> tuple[list[Configuration], list[dict[str, Any]]]:
    """Return the configurations of a folder, and their rows without the columns that are not choices."""
    configurations = rank(read_runs(folder))
    keys = Board(configurations).keys
    return configurations, [{key: row[key] for key in keys} for row in table(configurations)]


def test_values_that_were_not_typed_are_those_of_the_configuration(tmp_path: Path) -> None:
    write(tmp_path / "0", [], 0.9)
    write(tmp_path / "1", ["optimizer.lr=0.002"], 0.8, lr=0.002)
    write(tmp_path / "2", ["model=factors"], 0.7, model="factors")
    write(tmp_path / "3", ["model.hidden=[64, 32]", "model.dim=32", "seed=2"], 0.95, seed=2)
    configurations, rows = ranked(tmp_path)
    assert rows == [
        {"optimizer.lr": "0.001", "model": "factors", "model.hidden": ""},
        {"optimizer.lr": "0.002", "model": "mlp", "model.hidden": "[64,32]"},
        {"optimizer.lr": "0.001", "model": "mlp", "model.hidden": "[64,32]"},
    ]
    assert [len(own.runs) for own in configurations] == [1, 1, 2], "runs 0 and 3 have the same configuration"


def test_seeds_repeat_a_configuration_that_was_typed_differently(tmp_path: Path) -> None:
    write(tmp_path / "0", ["optimizer.lr=1e-3"], 0.9)
    write(tmp_path / "1", ["seed=2", "output_dir=x", "logger=csv"], 0.8, seed=2)
    configurations, rows = ranked(tmp_path)
    assert rows == [{}]
    assert [run.choices["seed"] for run in configurations[0].runs] == ["1", "2"]
    assert Board(configurations).repeat_keys == ["seed"]


def test_configurations_that_typed_keys_do_not_tell_apart_have_further_columns(tmp_path: Path) -> None:
    """A file of a user may have been edited between two runs."""
    write(tmp_path / "0", ["model.dim=32"], 0.9)
    write(tmp_path / "1", [], 0.8, lr=0.002, trainer={"deterministic": True})
    _, rows = ranked(tmp_path)
    assert rows == [{"optimizer.lr": "0.002"}, {"optimizer.lr": "0.001"}]


def test_the_class_of_a_model_is_no_column_next_to_its_option(tmp_path: Path) -> None:
    write(tmp_path / "0", ["model=mlp", "+metrics.x._target_=a.B"], 0.9, metrics={"x": {"_target_": "a.B"}})
    write(tmp_path / "1", ["model=factors", "model._target_=recsys.factors"], 0.8, model="factors")
    _, rows = ranked(tmp_path)
    assert rows == [{"model": "factors"}, {"model": "mlp"}]


def test_an_experiment_is_a_column_unless_it_changes_nothing(tmp_path: Path) -> None:
    write(tmp_path / "0", ["experiment=fast"], 0.8, experiment="fast", lr=0.002)
    write(tmp_path / "1", ["model.dim=32"], 0.9)
    write(tmp_path / "2", ["experiment=same"], 0.9, experiment="same")
    _, rows = ranked(tmp_path)
    assert rows == [{"experiment": "fast"}, {"experiment": ""}]


def test_without_a_record_of_each_run_all_are_compared_by_their_overrides(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write(tmp_path / "0", [], 0.9)
    write_run(tmp_path / "1", ["model.dim=16"], 0.8)
    (tmp_path / "1" / ".hydra").mkdir()
    (tmp_path / "1" / ".hydra" / "config.yaml").write_text("{[")
    _, rows = ranked(tmp_path)
    assert rows == [{"model.dim": "16"}, {"model.dim": ""}]
    assert "configuration of run 1 is not known: its file .hydra/config.yaml" in caplog.text


def test_a_recorded_text_stays_in_one_line(tmp_path: Path) -> None:
    write(tmp_path / "0", ["note=x"], 0.9, note="a\nb: c\r\nd")
    write(tmp_path / "1", [], 0.8, note="e")
    _, rows = ranked(tmp_path)
    assert rows == [{"note": "e"}, {"note": "a b: c d"}]


def test_a_record_of_someone_else_may_have_any_content(tmp_path: Path) -> None:
    write(tmp_path / "0", ["model.dim=32"], 0.9, lr="${oc.env:HOME}")
    write(tmp_path / "1", ["seed=1"], 0.8, **{"fake\nbest: rm": 1, "x" * 300: 2}, lr="${nope}")
    hydra = tmp_path / "1" / ".hydra" / "hydra.yaml"
    for choices in ("{model: '${oc.env:HOME}'}", "[1]", "{1: 2}", "3", "{model: {a: [b]}}"):
        hydra.write_text(f"hydra: {{runtime: {{choices: {choices}}}}}")
        _, rows = ranked(tmp_path)
        assert [row["optimizer.lr"] for row in rows] == ["${nope}", "${oc.env:HOME}"]
        assert all(key.isprintable() and len(key) < 200 for row in rows for key in row)
    hydra.write_text("hydra: 3")
    assert len(ranked(tmp_path)[1]) == 2
