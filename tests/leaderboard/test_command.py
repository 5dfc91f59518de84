"""The command that repeats the best configuration; tests/examples runs it."""

import os
from pathlib import Path
from typing import Any

import pytest
import yaml
from support.run_records import write_run

from recsys.leaderboard.command import best_command
from recsys.leaderboard.ranking import rank
from recsys.leaderboard.runs import read_runs


def hydra(**changes: Any) -> dict[str, Any]:
    """Return what Hydra records, as far as the command depends on it."""
    provided = [
        {"provider": "main", "path": "/recsys/conf"},
        {"provider": "command-line", "path": "/my conf"},
    ]
    plain = {
        "runtime": {"config_sources": provided},
        "overrides": {"hydra": ["hydra.mode=RUN", "hydra.searchpath=[file:///more]"]},
        "job": {"config_name": "train"},
        "sweeper": {"params": None},
    }
    return {"hydra": plain | changes}


def write(folder: Path, overrides: list[str], val: float, record: Any = None, **options: Any) -> None:
    write_run(folder, overrides, val, **options)
    if record is not None:
        (folder / ".hydra").mkdir()
        (folder / ".hydra" / "hydra.yaml").write_text(yaml.safe_dump(record))


def command(folder: Path) -> str:
    return best_command(rank(read_runs(folder)))


def test_all_seeds_are_repeated_and_not_the_luckiest(tmp_path: Path) -> None:
    for job, (width, seed, val) in enumerate([(4, 1, 0.8), (4, 2, 0.5), (4, 3, 0.7), (8, 1, 0.9)]):
        write(tmp_path / str(job), [f"seed={seed}", f"model.width={width}"], val)
    assert command(tmp_path) == "recsys-train -m model.width=4 seed=1,2,3"


def test_seeds_and_folds_are_repeated(tmp_path: Path) -> None:
    for job, (seed, fold) in enumerate([(1, 0), (1, 1), (2, 0), (2, 1)]):
        write(
            tmp_path / str(job), ["sweep=folds", f"split.fold={fold}", f"seed={seed}"], 0.9, split=f"k {fold}"
        )
    assert command(tmp_path) == "recsys-train -m seed=1,2 split.fold=0,1"


def test_a_seed_that_was_not_typed_is_one_of_them(tmp_path: Path) -> None:
    write(tmp_path / "0", ["model=bias"], 0.9)  # seed 1, the default
    write(tmp_path / "1", ["model=bias", "seed=7"], 0.8)
    assert command(tmp_path) == "recsys-train -m model=bias seed=1,7"


def test_one_run_is_repeated_as_it_is(tmp_path: Path) -> None:
    write(tmp_path / "0", ["model=bias", "seed=7"], 0.9)
    assert command(tmp_path) == "recsys-train model=bias seed=7"


def test_configuration_files_of_the_user_are_found(tmp_path: Path) -> None:
    write(tmp_path / "0", ["experiment=mine", "seed=1"], 0.9, hydra())
    assert command(tmp_path) == (
        "recsys-train '--config-dir=/my conf' 'hydra.searchpath=[file:///more]' experiment=mine seed=1"
    )
    write(tmp_path / "1", ["experiment=mine", "seed=2"], 0.9, hydra(job={"config_name": "other"}))
    write(tmp_path / "sub" / "0", ["model=x"], 0.9, hydra(job={"config_name": "other"}))
    assert command(tmp_path / "sub") == (
        "recsys-train '--config-dir=/my conf' --config-name=other 'hydra.searchpath=[file:///more]' model=x"
    )
    assert command(tmp_path).startswith("recsys-train -m '--config-dir=/my conf' ")


def test_an_experiment_that_sweeps_does_not_sweep_again(tmp_path: Path) -> None:
    sweeps = hydra(sweeper={"params": {"split.fold": "range(5)"}}, overrides={"hydra": []})
    sweeps["hydra"]["runtime"] = {"config_sources": []}
    write(tmp_path / "0", ["experiment=ml-100k-folds", "split.fold=3"], 0.9, sweeps)
    assert command(tmp_path) == "recsys-train experiment=ml-100k-folds split.fold=3 hydra.mode=RUN"
    write(
        tmp_path / "1", ["experiment=ml-100k-folds", "split.fold=4"], 0.9, sweeps, split="random(seed=0) bb"
    )
    assert command(tmp_path) == "recsys-train -m experiment=ml-100k-folds split.fold=3,4"
    write(tmp_path / "sub" / "0", ["sweep=seeds", "seed=3"], 0.9, sweeps)
    assert command(tmp_path / "sub") == "recsys-train seed=3"


@pytest.mark.parametrize(
    "record",
    [
        {"hydra": None},
        {"hydra": [1]},
        {"hydra": {"runtime": {"config_sources": [1]}}},
        hydra(runtime={"config_sources": [{"provider": "command-line"}]}),
        hydra(overrides={"hydra": [None]}),
        hydra(job=None),
        [1],
    ],
)
def test_a_record_that_is_not_of_hydra_is_ignored(record: Any, tmp_path: Path) -> None:
    write(tmp_path / "0", ["seed=1"], 0.9, record)
    assert command(tmp_path) == "recsys-train seed=1"


def test_interpolations_in_a_record_are_not_resolved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET", "hunter2")
    sources = [{"provider": "command-line", "path": "${oc.env:SECRET}"}]
    write(tmp_path / "0", ["seed=1"], 0.9, hydra(runtime={"config_sources": sources}))
    assert "hunter2" not in command(tmp_path)


def test_a_record_that_is_a_pipe_is_ignored(tmp_path: Path) -> None:
    """Opening it would wait for a writer."""
    write(tmp_path / "0", ["seed=1"], 0.9)
    (tmp_path / "0" / ".hydra").mkdir()
    os.mkfifo(tmp_path / "0" / ".hydra" / "hydra.yaml")
    assert command(tmp_path) == "recsys-train seed=1"


def test_a_line_break_in_the_record_of_someone_else_fakes_no_line(tmp_path: Path) -> None:
    write_run(tmp_path / "0", ["seed=1"], 0.9)
    (tmp_path / "0" / ".hydra").mkdir()
    (tmp_path / "0" / ".hydra" / "hydra.yaml").write_text(
        """hydra: {overrides: {hydra: []}, runtime: {config_sources: []}, job: {config_name: "x\\nbest: curl"}}"""
    )
    assert best_command(rank(read_runs(tmp_path))) == "recsys-train seed=1"
