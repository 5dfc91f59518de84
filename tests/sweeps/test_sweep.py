"""Whole sweeps, as a user starts them."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from support.commands import modules_in, result_in, run
from support.tiny import QUICK

from recsys.runs.folder import read_json
from recsys.runs.lock import lock_folder

pytestmark = pytest.mark.slow

FAULTY = """
import os, signal, time
from recsys.models.bias import Bias

class Faulty(Bias):
    def __init__(self, n_users, n_items, scale, mean, fault: str = "none") -> None:
        super().__init__(n_users, n_items, scale, mean)
        self.fault = fault

    def setup_from_data(self, dataset, train) -> None:  # only jobs call it; validation calls the constructor
        super().setup_from_data(dataset, train)
        if self.fault == "raise":
            raise ValueError("on purpose")
        if self.fault == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if self.fault == "hang":
            time.sleep(600)
        if self.fault == "slow":
            time.sleep(3)
"""


@pytest.fixture
def faulty(tmp_path: Path) -> tuple[list[str], dict[str, str]]:
    """Arguments and variables of a command whose model.fault= decides how a job ends."""
    (tmp_path / "own" / "model").mkdir(parents=True)
    (tmp_path / "own" / "faults.py").write_text(FAULTY)
    (tmp_path / "own" / "model" / "faulty.yaml").write_text(
        "# @package _global_\ndefaults: [override /loss: pointwise]\nmodel: {_target_: faults.Faulty, fault: none}\n"
    )
    command = [f"--config-dir={tmp_path / 'own'}", *QUICK, "model=faulty", f"output_dir={tmp_path / 'sweep'}"]
    return command, modules_in(tmp_path / "own")


def test_a_sweep_in_which_jobs_end_in_every_way(faulty, tmp_path: Path) -> None:
    arguments, environment = faulty
    swept = "model.fault=none,raise,kill,hang"
    done = run("train", "-m", *arguments, swept, "hydra.launcher.timeout=20", code=1, **environment)
    failed = {
        1: "ValueError: on purpose",
        2: "killed by SIGKILL",
        3: "killed after 20 seconds (hydra.launcher.timeout)",
    }
    assert "4 jobs" in done.stderr
    assert "1 of 4 done, 0 running, 3 failed, best" in done.stderr
    assert [path.name for path in sorted((tmp_path / "sweep").glob("*/result.json"))] == ["result.json"]
    for job, error in failed.items():
        assert json.loads((tmp_path / "sweep" / str(job) / "failed.json").read_text())["error"] == error
    for leaderboard in (done.stdout, run("compare", f"dir={tmp_path / 'sweep'}").stdout):
        lines = leaderboard.splitlines()
        assert [line for line in lines if line.startswith("failed")] == [
            f"failed: job {job}: {error}" for job, error in failed.items()
        ]
        (best,) = [line for line in lines if line.startswith("best: ")]
        assert {"model=faulty", "model.fault=none"} <= set(best.split())
    page = (tmp_path / "sweep" / "leaderboard.html").read_text()
    assert "job 2 failed: killed by SIGKILL" in page


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
def test_a_scheduler_stops_a_sweep_that_can_be_resumed(
    faulty, tmp_path: Path, number: signal.Signals
) -> None:
    arguments, environment = faulty
    command = [sys.executable, "-m", "recsys.cli.train", "-m", *arguments, "model.fault=hang,none"]
    environment = {**os.environ, **environment}
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as process:
        for line in process.stderr:
            if "2 jobs in" in line:
                process.send_signal(number)
                break
        errors = process.stderr.read().splitlines()
    assert process.returncode == 128 + number
    assert errors[-1] == (
        f"stopped by {number.name}; to resume: repeat the command with sweep.resume={tmp_path / 'sweep'}"
    )


def test_a_killed_sweep_is_resumed_without_repeating_a_finished_job(faulty, tmp_path: Path) -> None:
    arguments, environment = faulty
    command = [
        sys.executable,
        "-m",
        "recsys.cli.train",
        "-m",
        *arguments,
        "model.fault=slow",
        "seed=1,2,3,4,5,6",
    ]
    sweep = tmp_path / "sweep"
    with subprocess.Popen(command, env={**os.environ, **environment}, stderr=subprocess.DEVNULL) as process:
        deadline = time.monotonic() + 120
        while not list(sweep.glob("*/result.json")) and time.monotonic() < deadline:
            time.sleep(0.05)
        process.send_signal(signal.SIGKILL)
    time.sleep(1)  # until the jobs have noticed that their parent has ended
    finished = {path: path.stat().st_mtime_ns for path in sweep.glob("*/result.json")}
    before = read_json(sweep / "sweep.json")
    assert before["swept"] == ["seed"]
    assert 1 <= len(finished) < 6
    run(
        "train",
        "-m",
        *arguments,
        "model.fault=slow",
        "seed=1,2,3,4,5,6",
        f"sweep.resume={sweep}",
        **environment,
    )
    assert {path: path.stat().st_mtime_ns for path in finished} == finished
    assert [result_in(sweep / job)["seed"] for job in "012345"] == [1, 2, 3, 4, 5, 6]
    other = ["model.fault=slow", "seed=6,5,4", "batch_size=500,600", f"sweep.resume={sweep}"]
    errors = run("train", "-m", *arguments, *other, code=1, **environment).stderr
    assert "job 0 of the sweep in this folder had other overrides" in errors
    assert result_in(sweep / "0")["seed"] == 1, "a refused start loses no results"
    assert read_json(sweep / "sweep.json") == before, "nor the record of the sweep"
    with lock_folder(sweep, ""):
        same = ["model.fault=slow", "seed=1,2,3,4,5,6", f"sweep.resume={sweep}"]
        errors = run("train", "-m", *arguments, *same, code=1, **environment).stderr
        assert "another process is running this sweep" in errors
    alone = run("train", *QUICK, f"sweep.resume={sweep}", code=1, **environment).stderr
    assert "resumes a sweep" in alone


@pytest.mark.parametrize(
    ("arguments", "messages"),
    [
        (["seed=1,2", "model.hiden=4"], ["model.hiden: no such key", "Did you mean model.hidden=4?"]),
        (["model.hiden=4,5"], ["model.hiden: no such key", "Did you mean model.hidden=4,5?"]),
        (["seed=1,2", "resume=true"], ["resume=true with -m: to resume a sweep, use sweep.resume="]),
        (["seed=1,2,3,4,5,6,7,8,9,x"], ["job 9: seed=x: should be a valid integer"]),
        (["seed=range(0)"], ["nothing to run: a swept key has no values"]),
        (
            ["seed=1,2", "sweep.resume=nowhere"],
            ["sweep.resume=nowhere: not the folder of a sweep (no sweep.json)"],
        ),
        (
            ["seed=1,2", "hydra.launcher.timeout=abc"],
            ["hydra.launcher.timeout=abc: should be"],
        ),
        (["seed=1,2", "hydra.launcher.jobs=0"], ["hydra.launcher.jobs=0: should be greater than 0"]),
        (["hardware=ddp,auto"], ["job 0: hardware.devices=2: all jobs of a sweep must share one value (1)"]),
        (["output_dir=x,y"], ["job 0: output_dir=x: all jobs", "job 1: output_dir=y: all jobs"]),
        (["optimizer.lr=interval(0,1)"], ["a grid cannot sweep an interval; use hydra/sweeper=optuna"]),
    ],
)
def test_a_refused_sweep_leaves_nothing(arguments: list[str], messages: list[str], tmp_path: Path) -> None:
    errors = run("train", *QUICK, "-m", *arguments, code=1).stderr.splitlines()
    assert len(errors) == len(messages)
    for error, expected in zip(errors, messages, strict=True):
        assert expected in error
    assert not (tmp_path / "outputs").exists()
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.parametrize("name", ["result.json", ".hydra", "sweep.json", "multirun.yaml"])
def test_a_sweep_does_not_use_the_folder_of_another_run_or_sweep(name: str, tmp_path: Path) -> None:
    """A folder with multirun.yaml alone is that of a sweep that was stopped before its first job."""
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / name).write_text("old")
    if name == "multirun.yaml":
        (tmp_path / "mine" / "0").touch()
    errors = run("train", "-m", *QUICK, "seed=1,2", "output_dir=mine", code=1).stderr
    assert f"output_dir=mine: already holds a run or sweep ({name})" in errors
    others = [path for path in (tmp_path / "mine").iterdir() if path.name != "0"]
    assert [(path.name, path.read_text()) for path in others] == [(name, "old")]


def test_jobs_have_the_configuration_that_was_validated(tmp_path: Path) -> None:
    """With --config-dir, --config-name, and a folder whose name has special characters of Hydra's grammar."""
    own = tmp_path / "it's [my] own"
    own.mkdir()
    (own / "mine.yaml").write_text("defaults:\n  - train\n  - _self_\nmax_epochs: 3\n")
    overrides = [override for override in QUICK if not override.startswith("max_epochs")]
    chosen = "output_dir='" + str(own / "sweep").replace("'", "\\'") + "'"
    run("train", "-m", f"--config-dir={own}", "--config-name=mine", *overrides, "seed=1,2", chosen)
    assert [result_in(own / "sweep" / job)["time"]["epochs"] for job in "01"] == [3, 3]


def test_runs_are_named_by_the_swept_keys(tmp_path: Path) -> None:
    overrides = [*QUICK, "logger=tensorboard", "max_epochs=1", f"output_dir={tmp_path / 'sweep'}"]
    done = run("train", "-m", *overrides, "model.embedding_dim=4", "model.hidden=[8],[8,4]", "seed=1,2")
    assert done.stdout.splitlines()[-1] == f"watch: tensorboard --logdir {tmp_path / 'sweep'}"
    names = [str(file.parent.relative_to(tmp_path / "sweep")) for file in tmp_path.rglob("events.*")]
    assert set(names) == {
        "0/hidden=8,seed=1",
        "1/hidden=8,seed=2",
        "2/hidden=8-4,seed=1",
        "3/hidden=8-4,seed=2",
    }


def test_a_failed_job_does_not_stop_a_sweep(tmp_path: Path) -> None:
    wild = [
        "model=matrix-factorization",
        "optimizer=sgd",
        "schedule=constant",
        "optimizer.lr=0.001,1e30,0.002",
    ]
    options = ["-m", *QUICK, *wild, f"output_dir={tmp_path / 'sweep'}"]
    errors = run("train", *options, code=1).stderr
    assert "job 1: failed: TrainingError" in errors
    assert "Traceback" not in errors
    assert [(tmp_path / "sweep" / job / "result.json").exists() for job in "012"] == [True, False, True]
    assert (tmp_path / "sweep" / "1" / "failed.json").exists()
    leaderboard = run("compare", f"dir={tmp_path / 'sweep'}").stdout
    assert "failed: job 1: TrainingError" in leaderboard
    assert "best: recsys-train data=synthetic" in leaderboard


def test_every_job_of_a_sweep_is_validated_before_the_first_starts(tmp_path: Path) -> None:
    options = ["-m", *QUICK, f"output_dir={tmp_path / 'sweep'}", "model.embedding_dim=4,8,0,-1"]
    errors = run("train", *options, code=1).stderr.splitlines()
    assert errors == [
        "job 2: model.embedding_dim=0: should be greater than 0",
        "job 3: model.embedding_dim=-1: should be greater than 0",
    ]
    assert not (tmp_path / "sweep").exists()


def test_a_sweep_of_sweep_files_is_refused() -> None:
    errors = run("train", "-m", *QUICK, "sweep=embedding-size,layer-widths", code=1).stderr
    assert "sweep=embedding-size and sweep=layer-widths: use one sweep file at a time" in errors


def test_several_processes_per_job_in_a_sweep(tmp_path: Path) -> None:
    options = ["hardware=ddp", "hardware.accelerator=cpu", f"output_dir={tmp_path / 'sweep'}", "seed=3"]
    run("train", "-m", *QUICK[:-2], "logger=none", *options)
    assert result_in(tmp_path / "sweep" / "0")["seed"] == 3
    assert not list((tmp_path / "sweep" / "0").glob("train_ddp*")), "the second process writes nothing there"
    assert {path.name for path in (tmp_path / "sweep").iterdir()} == {
        *("0", "multirun.yaml", "sweep.json", "leaderboard.html")
    }


def test_a_sweep_file_switches_multirun_on_and_names_the_folder(tmp_path: Path) -> None:
    run("train", "sweep=embedding-size", *QUICK, "hydra.sweeper.params={model.embedding_dim:'3,5'}")
    (sweep,) = (tmp_path / "outputs" / "sweeps").iterdir()
    assert re.fullmatch(r"\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d-\d{6}_embedding-size", sweep.name)
    for job, dim in (("0", 3), ("1", 5)):
        assert f"model.embedding_dim={dim}" in result_in(sweep / job)["overrides"]


@pytest.mark.parametrize("launcher", ["pool", "basic"])
def test_a_job_of_a_sweep_equals_the_same_run_alone(launcher: str, tmp_path: Path) -> None:
    run("train", "-m", *QUICK, "seed=1,2", f"output_dir={tmp_path / 'sweep'}", f"hydra/launcher={launcher}")
    run("train", *QUICK, "seed=2", f"output_dir={tmp_path / 'alone'}")
    for name in ("metrics", "objective"):
        assert result_in(tmp_path / "sweep" / "1")[name] == result_in(tmp_path / "alone")[name]


def test_a_sweep_averages_its_runs(tmp_path: Path) -> None:
    """As recsys-average does, once: also if the sweep is resumed, and not if a job is missing."""
    folder = tmp_path / "sweep"
    command = ["-m", *QUICK, "seed=1,2", "sweep.average=true"]
    done = run("train", *command, f"output_dir={folder}")
    assert "3 runs" in done.stdout, "the leaderboard has the average"
    alone = tmp_path / "alone"
    run("average", f"dir={folder}", f"output_dir={alone}")
    found, expected = result_in(folder / "average"), result_in(alone)
    assert found["metrics"] == expected["metrics"]
    assert [member["seed"] for member in found["members"]] == [1, 2]
    before = (folder / "average" / "result.json").stat().st_mtime_ns
    run("train", *command, f"sweep.resume={folder}")
    assert (folder / "average" / "result.json").stat().st_mtime_ns == before


def test_networks_that_differ_are_not_averaged(tmp_path: Path) -> None:
    command = [*QUICK, "model=embedding-net", "model.embedding_dim=4,8", "sweep.average=true"]
    done = run("train", "-m", *command, f"output_dir={tmp_path / 'sweep'}")
    assert "not averaged: " in done.stderr
    assert "differ in embedding_dim (4 and 8)" in done.stderr
    assert not (tmp_path / "sweep" / "average").exists()


def test_a_sweep_with_a_failed_job_is_not_averaged(faulty, tmp_path: Path) -> None:
    arguments, environment = faulty
    swept = ["model.fault=none,raise", "sweep.average=true"]
    done = run("train", "-m", *arguments, *swept, code=1, **environment)
    assert "not averaged, because not all jobs have finished" in done.stderr
    assert not (tmp_path / "sweep" / "average").exists()


def test_own_networks_of_a_sweep_are_averaged(faulty, tmp_path: Path) -> None:
    """What the command line names is trusted."""
    arguments, environment = faulty
    run("train", "-m", *arguments, "seed=1,2", "sweep.average=true", **environment)
    assert (tmp_path / "sweep" / "average" / "result.json").is_file()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "sweep.average=true: averages the runs of a sweep; add -m and values"),
        (["-m", "seed=1,2", "hydra/launcher=basic"], "hydra/launcher=basic does not average"),
        (["-m", "seed=1,2", "hydra/sweeper=optuna"], "the trials of a search are different networks"),
    ],
    ids=["no-sweep", "basic", "search"],
)
def test_only_sweeps_over_a_grid_are_averaged(arguments: list[str], message: str) -> None:
    done = run("train", *arguments, *QUICK, "sweep.average=true", code=1)
    assert message in done.stderr
    assert not any(Path("outputs").glob("**/result.json"))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_an_interrupted_average_is_made_when_the_sweep_is_resumed(
    number: signal.Signals, tmp_path: Path
) -> None:
    folder = tmp_path / "sweep"
    overrides = [*QUICK, "seed=1,2", "sweep.average=true"]
    run("train", "-m", *QUICK, "seed=1,2", f"output_dir={folder}")
    command = [sys.executable, "-m", "recsys.cli.train", "-m", *overrides, f"sweep.resume={folder}"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True) as process:
        while not (folder / ".average.unfinished").exists():
            assert process.poll() is None
            time.sleep(0.001)
        process.send_signal(number)
        errors = process.stderr.read()
    if number == signal.SIGTERM:
        assert f"stopped by SIGTERM; to resume: repeat the command with sweep.resume={folder}" in errors
        assert process.returncode == 128 + number
    assert not (folder / "average").exists()
    run("train", "-m", *overrides, f"sweep.resume={folder}")
    assert result_in(folder / "average")["status"] == "completed"
    assert not (folder / ".average.unfinished").exists()


def test_a_job_folder_that_is_a_file_or_a_link_is_refused_before_a_job_starts(tmp_path: Path) -> None:
    overrides, folder = ["-m", *QUICK, "max_epochs=1", "seed=1,2"], tmp_path / "sweep"
    run("train", *overrides, f"output_dir={folder}")
    (folder / "1").rename(tmp_path / "moved")
    message = f"{folder / '1'}: is a file or a link, not the folder of job 1; remove it"
    for put in (Path.touch, lambda path: path.symlink_to("nowhere"), lambda path: path.symlink_to(tmp_path)):
        put(folder / "1")
        failed = run("train", *overrides, f"sweep.resume={folder}", code=1)
        assert failed.stderr.splitlines() == [message]
        (folder / "1").unlink()
    (folder / "1").symlink_to(tmp_path / "moved")  # finished: nothing is written to it
    run("train", *overrides, f"sweep.resume={folder}")


def test_a_folder_that_is_called_average_is_kept(tmp_path: Path) -> None:
    folder = tmp_path / "sweep"
    run("train", "-m", *QUICK, "seed=1,2", f"output_dir={folder}")
    (folder / "average").mkdir()
    (folder / "average" / "mine.txt").write_text("mine")
    done = run("train", "-m", *QUICK, "seed=1,2", "sweep.average=true", f"sweep.resume={folder}")
    assert f"not averaged: {folder / 'average'} exists, and is not an average; rename it" in done.stderr
    assert (folder / "average" / "mine.txt").read_text() == "mine"
