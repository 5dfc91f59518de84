"""Going on with an interrupted run: what is kept, what is refused. Kills at random: tests/faults."""

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from support.commands import run
from support.tiny import PLAIN

RUN = [
    *("data=synthetic", "data.ratings=3000", "data.users=60", "data.items=50", "batch_size=40"),
    *("max_epochs=1000", "patience=1000", *PLAIN, "model.embedding_dim=8", "hardware=cpu", "logger=csv"),
]


def started(*words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "recsys.cli.train", *words],
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def wait_for(file: str, process: subprocess.Popen) -> None:
    while not Path(file).exists():
        assert process.poll() is None
        time.sleep(0.01)


@pytest.fixture
def cut(tmp_path: Path) -> Path:
    """A run that was stopped by SIGTERM in an epoch."""
    process = started(*RUN, "output_dir=cut")
    wait_for("cut/checkpoints/last.ckpt", process)
    process.send_signal(signal.SIGTERM)
    told = process.communicate(timeout=60)[1]
    assert process.returncode == 128 + signal.SIGTERM
    assert told.splitlines()[-1].endswith(f"to go on: recsys-train run={tmp_path / 'cut'} resume=true")
    return tmp_path / "cut"


def test_what_the_run_began_with_is_kept_and_nothing_else_taken(cut: Path) -> None:
    before = {path.name: path.read_bytes() for path in (cut / ".hydra").iterdir()}
    for words, told in [
        (["max_epochs=9"], "max_epochs=9: the run began with max_epochs=1000, and goes on with nothing else"),
        (["patience=1000", "seed=2"], f"seed=2: run={cut} began with 1, and goes on with nothing else"),
        (["-m"], "resume=true with -m: a sweep goes on with sweep.resume=<its folder>"),
    ]:
        assert told in run("train", f"run={cut}", "resume=true", *words, code=1).stderr
    assert not (cut / "failed.json").exists()
    assert {path.name: path.read_bytes() for path in (cut / ".hydra").iterdir()} == before
    assert "has not finished" in run("evaluate", f"run={cut}", code=1).stderr


def test_one_process_at_a_time_goes_on_and_what_was_logged_stays(cut: Path) -> None:
    process = started(f"run={cut}", "resume=true")
    wait_for("cut/metrics-1.csv", process)
    for _ in range(2):  # to be refused changes nothing for the next one
        assert "this run is running" in run("train", f"run={cut}", "resume=true", code=1).stderr
    process.send_signal(signal.SIGINT)
    told = process.communicate(timeout=60)[1]
    assert process.returncode == 128 + signal.SIGINT
    assert "goes on after step" in told
    assert "stopped by SIGINT after step" in told
    epochs = [
        {line.split(",")[0] for line in (cut / name).read_text().splitlines()[1:]}
        for name in ("metrics-1.csv", "metrics.csv")
    ]
    assert "0" in epochs[0]
    assert "0" not in epochs[1]


def test_a_run_goes_on_from_another_place_with_the_data_it_began_with(tmp_path: Path, monkeypatch) -> None:
    """What it says to go on can be pasted, whatever its folder is called; changed data are refused."""
    place = tmp_path / "it's here = now"
    place.mkdir()
    monkeypatch.chdir(place)
    lines = "".join(f"{user},{item},{1 + user * item % 5}\n" for user in range(60) for item in range(50))
    Path("mine.csv").write_text(f"user,item,rating\n{lines}")
    data = ["data=csv", "data.path=mine.csv", *(word for word in RUN if not word.startswith("data"))]
    process = started(*data, "output_dir=cut")
    wait_for("cut/checkpoints/last.ckpt", process)
    process.send_signal(signal.SIGTERM)
    told = process.communicate(timeout=60)[1]
    monkeypatch.chdir(tmp_path)
    _, *words = shlex.split(told.rpartition("to go on: ")[2])
    process = started(*words)
    for name in ("metrics-1.csv", "metrics.csv"):  # of the first start, and then of this one
        wait_for(str(place / "cut" / name), process)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGTERM
    fewer = "".join(lines.splitlines(keepends=True)[:-1])
    (place / "mine.csv").write_text(f"user,item,rating\n{fewer}")
    place.rename(tmp_path / "moved")
    monkeypatch.chdir(tmp_path / "moved")
    refused = run("train", "run=cut", "resume=true", code=1).stderr
    assert "the data or their split are not what it began with" in refused
    assert "Traceback" not in refused


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["run=nowhere", "resume=true"], "run=nowhere: no such folder"),
        (["run=empty", "resume=true"], "run=empty: not a run that has begun"),
        (["run=latest", "resume=true"], "run=latest: no unfinished run under ./outputs/runs"),
        (["run=empty"], "run=empty: only with resume=true"),
        (["resume=true"], "resume=true: with which run?"),
    ],
)
def test_says_what_there_is_not_to_go_on_with(words: list[str], told: str, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert told in run("train", *words, code=1).stderr
    assert list((tmp_path / "empty").iterdir()) == []


def test_a_sweep_goes_on_with_the_run_it_was_killed_in() -> None:
    words = [*RUN, "max_epochs=4", "patience=4"]
    sweep = ["-m", "seed=1,2", *(word for word in words if word not in RUN[5:7]), "hydra.launcher.jobs=1"]
    process = started(*sweep, "output_dir=sweep")
    wait_for("sweep/1/checkpoints/last.ckpt", process)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    time.sleep(1)  # the job's own process sees that its parent is gone
    run("train", *sweep, "sweep.resume=sweep")
    assert "goes on after step" in Path("sweep/1/output.log").read_text()
    run("train", *sweep[2:-1], "seed=2", "output_dir=alone")
    one, other = (json.loads(Path(folder, "result.json").read_text()) for folder in ("sweep/1", "alone"))
    assert one["metrics"] == other["metrics"]
    assert one["overrides"] == ["seed=2", *sweep[2:-1]]
