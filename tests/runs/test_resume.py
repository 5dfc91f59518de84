"""Resume an interrupted run: what is kept, and what is refused. Kills at random moments: tests/faults."""

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from support.commands import run
from support.tiny import PLAIN, QUICK

from recsys.errors import ConfigError, RunError, Stopped
from recsys.experiment.compose import compose
from recsys.experiment.train import train
from recsys.runs.folder import write_json
from recsys.runs.record import recorded_config, resolve_config
from recsys.runs.resume import check_overrides
from recsys.runs.start import open_run
from recsys.training.auto_loss import choose_loss

RUN = [
    *("data=synthetic", "data.ratings=3000", "data.users=60", "data.items=50", "batch_size=40"),
    *("max_epochs=1000", "patience=1000", *PLAIN, "model.embedding_dim=8", "hardware=cpu", "logger=csv"),
]


def started(*arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "recsys.cli.train", *arguments],
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def wait_for(file: str, process: subprocess.Popen) -> None:
    while not Path(file).exists():
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)


@pytest.fixture
def cut(tmp_path: Path) -> Path:
    """A run that SIGTERM stopped within an epoch."""
    process = started(*RUN, "output_dir=cut")
    wait_for("cut/checkpoints/last.ckpt", process)
    process.send_signal(signal.SIGTERM)
    errors = process.communicate(timeout=60)[1]
    assert process.returncode == 128 + signal.SIGTERM
    assert errors.splitlines()[-1].endswith(f"recsys-train run={tmp_path / 'cut'} resume=true")
    return tmp_path / "cut"


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.slow
def test_a_resumed_run_keeps_its_configuration(cut: Path) -> None:
    before = files(cut / ".hydra")
    kept = "a resumed run keeps its original configuration"
    for arguments, message in [
        (["max_epochs=9"], f"max_epochs=9: {kept} (max_epochs=1000)"),
        (["patience=1000", "seed=2"], f"seed=2: {kept} (seed=1)"),
        (["model=bias"], f"model=bias: {kept} (model=embedding-net)"),
        (["-m"], "resume=true with -m: to resume a sweep, use sweep.resume=<its folder>"),
    ]:
        errors = run("train", f"run={cut}", "resume=true", *arguments, code=1).stderr
        assert errors.splitlines()[-1] == message
    assert not (cut / "failed.json").exists()
    assert files(cut / ".hydra") == before
    assert "has not finished" in run("evaluate", f"run={cut}", code=1).stderr
    assert not Path("outputs").exists()


@pytest.mark.slow
def test_one_process_at_a_time_resumes_a_run_and_earlier_metrics_are_kept(cut: Path) -> None:
    process = started(f"run={cut}", "resume=true")
    wait_for("cut/metrics-1.csv", process)
    for _ in range(2):  # a refusal does not affect the next start
        errors = run("train", f"run={cut}", "resume=true", code=1).stderr
        assert "another process is running in this folder" in errors
    process.send_signal(signal.SIGINT)
    errors = process.communicate(timeout=60)[1]
    assert process.returncode == 128 + signal.SIGINT
    assert "resuming after step" in errors
    assert "stopped by SIGINT after step" in errors
    epochs = [
        {line.split(",")[0] for line in (cut / name).read_text().splitlines()[1:]}
        for name in ("metrics-1.csv", "metrics.csv")
    ]
    assert "0" in epochs[0]
    assert "0" not in epochs[1]


@pytest.mark.slow
def test_a_run_of_version_0_1_0_is_refused_with_its_format(tmp_path: Path) -> None:
    folder = tmp_path / "old"
    for name in (".hydra", "checkpoints"):
        (folder / name).mkdir(parents=True)
    (folder / ".hydra" / "config.yaml").write_text("split: {_target_: recsys.data.splits.random}\n")
    torch.save({"recsys": {"format": 1}}, folder / "checkpoints" / "last.ckpt")
    errors = run("train", f"run={folder}", "resume=true", code=1).stderr.splitlines()
    assert errors[-1].endswith("last.ckpt: has format 1, this version reads format 2: train again")
    assert not (folder / "failed.json").exists()


@pytest.mark.slow
def test_a_run_is_resumed_from_another_folder_but_not_with_changed_data(tmp_path: Path, monkeypatch) -> None:
    """The printed command can be pasted into a shell, whatever the name of the folder."""
    folder = tmp_path / "it's here = now"
    folder.mkdir()
    monkeypatch.chdir(folder)
    lines = "".join(f"{user},{item},{1 + user * item % 5}\n" for user in range(60) for item in range(50))
    Path("mine.csv").write_text(f"user,item,rating\n{lines}")
    data = ["data=table", "data.path=mine.csv", *(word for word in RUN if not word.startswith("data"))]
    process = started(*data, "output_dir=cut")
    wait_for("cut/checkpoints/last.ckpt", process)
    process.send_signal(signal.SIGTERM)
    errors = process.communicate(timeout=60)[1]
    monkeypatch.chdir(tmp_path)
    _, *arguments = shlex.split(errors[errors.rindex("recsys-train ") :])
    process = started(*arguments)
    for name in ("metrics-1.csv", "metrics.csv"):  # of the first start, and then of this one
        wait_for(str(folder / "cut" / name), process)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGTERM
    fewer = "".join(lines.splitlines(keepends=True)[:-1])
    (folder / "mine.csv").write_text(f"user,item,rating\n{fewer}")
    refused = run("train", f"run={str(folder / 'cut')!r}", "resume=true", code=1).stderr
    assert "the ratings have changed, or their split" in refused
    assert "Traceback" not in refused


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run=nowhere", "resume=true"], "run=nowhere: no such folder"),
        (["run=empty", "resume=true"], "run=empty: nothing to resume"),
        (["run=latest", "resume=true"], "run=latest: no unfinished run under ./outputs/runs"),
        (["run=empty"], "run=empty: requires resume=true"),
        (["resume=true"], "resume=true: of which run?"),
        (["run=empty", "output_dir=other", "resume=true"], "give only one of them with resume=true"),
    ],
)
def test_says_what_cannot_be_resumed(arguments: list[str], message: str, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert message in run("train", *arguments, code=1).stderr
    assert list((tmp_path / "empty").iterdir()) == []
    assert not (tmp_path / "other").exists()


@pytest.mark.slow
def test_one_command_begins_a_run_and_does_nothing_once_it_has_finished(tmp_path: Path) -> None:
    command = [*QUICK, "output_dir=run", "resume=true"]
    run("train", *command)
    before = files(tmp_path / "run" / "checkpoints")
    assert "this run has already finished" in run("train", *command).stderr
    assert files(tmp_path / "run" / "checkpoints") == before
    assert json.loads((tmp_path / "run" / "result.json").read_text())["overrides"] == QUICK
    assert "already finished" in run("train", "run=run", "resume=true", code=1).stderr


def begin(folder: Path, *overrides: str) -> None:
    """Leave a run that was killed before its first checkpoint."""
    with (
        pytest.raises(Stopped),
        open_run(folder, resolve_config(choose_loss(compose(*overrides))), overrides),
    ):
        raise Stopped("killed", 9)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("typed", "message"),
    [
        ([], ""),
        (["seed=3", "model=bias"], ""),
        (["seed=4"], r"seed=4: .* \(seed=3\)"),
        (["max_epochs=100"], ""),  # the default
        (["data.step=0.5"], ""),
        (["+optimizer.amsgrad=true"], r"\+optimizer.amsgrad=true: .* \(optimizer.amsgrad=unset\)"),
        (["hardware.compile=true"], r"hardware.compile=true: .* \(hardware.compile=false\)"),
    ],
)
def test_typed_overrides_must_agree_with_the_record(typed: list[str], message: str, tmp_path: Path) -> None:
    recorded = ("seed=3", "data=synthetic", "model=bias")
    begin(tmp_path / "run", *recorded)
    cfg = compose("data=synthetic", *typed)
    if not message:
        check_overrides(tmp_path / "run", typed, cfg)
        return
    with pytest.raises(ConfigError, match=message):
        check_overrides(tmp_path / "run", typed, cfg)


@pytest.mark.slow
def test_resuming_in_python(tmp_path: Path) -> None:
    begin(tmp_path / "run", *QUICK)
    with pytest.raises(ConfigError, match=r"^seed=2: a resumed run keeps .* \(seed=1\)$"):
        train(compose(*QUICK, "seed=2"), tmp_path / "run", resume=True)
    result = train(recorded_config(tmp_path / "run"), tmp_path / "run", resume=True)
    assert result.metrics == train(compose(*QUICK), "alone").metrics
    with pytest.raises(RunError, match="already finished"):
        train(compose(*QUICK), tmp_path / "run", resume=True)
    with pytest.raises(ConfigError, match="needs folder"):
        train(compose(*QUICK), resume=True)


def test_a_run_killed_before_its_record_was_complete_begins(tmp_path: Path) -> None:
    (tmp_path / "run" / ".hydra").mkdir(parents=True)
    (tmp_path / "run" / ".hydra" / "overrides.yaml").write_text("[]")
    with open_run(tmp_path / "run", {"seed": 1}, [], resume=True) as folder:
        write_json(folder / "result.json", {})
    assert recorded_config(tmp_path / "run") == {"seed": 1}


@pytest.mark.slow
def test_a_sweep_resumes_the_run_in_which_it_was_killed() -> None:
    words = [*RUN, "max_epochs=4", "patience=4"]
    sweep = ["-m", "seed=1,2", *(word for word in words if word not in RUN[5:7]), "hydra.launcher.jobs=1"]
    process = started(*sweep, "output_dir=sweep")
    wait_for("sweep/1/checkpoints/last.ckpt", process)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    time.sleep(1)  # until the job has noticed that its parent has ended
    run("train", *sweep, "sweep.resume=sweep")
    assert "resuming after step" in Path("sweep/1/output.log").read_text()
    run("train", *sweep[2:-1], "seed=2", "output_dir=alone")
    one, other = (json.loads(Path(folder, "result.json").read_text()) for folder in ("sweep/1", "alone"))
    assert one["metrics"] == other["metrics"]
    assert one["overrides"] == ["seed=2", *sweep[2:-1]]
