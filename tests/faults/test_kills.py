"""A run that was killed several times and resumed equals a run that was not interrupted."""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from support.commands import result_in, run
from support.interrupted import BASE, RUN, SMALL
from support.processes import (
    assert_group_ends,
    processes_of_group,
    started,
    two_processes,
    wait_for_checkpoint,
)
from support.weights import saved_weights

from recsys.runs.lock import LOCK
from recsys.sweeps.forkserver import Forked

pytestmark = pytest.mark.slow

KINDS = {
    "snapshots": [*RUN, "snapshots=2"],
    "history": [*BASE, "model=history", "model.embedding_dim=8", "snapshots=3", "l2.vectors=0.05"],
    "ema": [*RUN, "averaging=ema", "snapshots=1"],
    "swa": [*RUN, "averaging=swa", "snapshots=1"],
    "softmax": [*RUN, "loss=softmax"],
    "sparse-adam": [*BASE, "model=matrix-factorization", "optimizer=sparse-adam", "optimizer.lr=0.01"],
    "one-cycle": [*BASE, *SMALL, "schedule=one-cycle", "hardware.precision=bf16-mixed"],
}


def state(folder: Path) -> tuple[dict, dict]:
    """Return what must be equal, bit for bit: weights of both checkpoints, metrics and selection."""
    tensors = {}
    for name in ("best", "last"):
        weights = saved_weights(folder / "checkpoints" / f"{name}.ckpt")
        tensors |= {f"{name} {key}": value for key, value in weights.items()}
    result = result_in(folder)
    facts = {key: result[key] for key in ("metrics", "objective", "baselines", "model", "data", "seed")}
    return tensors, facts | {"epochs": result["time"]["epochs"]}


def assert_equal(one: tuple[dict, dict], other: tuple[dict, dict]) -> None:
    assert one[1] == other[1]
    assert one[0].keys() == other[0].keys()
    assert [key for key in one[0] if not torch.equal(one[0][key], other[0][key])] == []


@pytest.fixture(scope="module")
def alone(server, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], tuple[float, tuple]]:
    """Return duration and final state of an uninterrupted run; each kind is run once."""
    known: dict[str, tuple[float, tuple]] = {}

    def alone(kind: str) -> tuple[float, tuple]:
        if kind not in known:
            folder, begin = tmp_path_factory.mktemp("alone") / "run", time.monotonic()
            log = folder.with_name("log")
            process = started(server, log, *KINDS[kind], f"output_dir={folder}")
            assert process.wait(120) == 0, log.read_text()
            known[kind] = time.monotonic() - begin, state(folder)
        return known[kind]

    return alone


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", [0, 1])
def test_a_run_killed_at_any_moment_equals_an_uninterrupted_one(
    kind: str, seed: int, alone, start: Callable[..., Forked], tmp_path: Path
) -> None:
    """SIGKILL loses the steps since the end of an epoch, SIGTERM and SIGINT lose nothing. One command starts
    and resumes the run, as a scheduler repeats it."""
    chance, (seconds, expected) = random.Random(f"{kind} {seed}"), alone(kind)
    left: set[str] = set()
    for kill in chance.choices([signal.SIGKILL, signal.SIGTERM, signal.SIGINT], k=3):
        process = start(*KINDS[kind], f"output_dir={tmp_path / 'run'}", "resume=true")
        try:
            process.wait(chance.uniform(0, 0.8 * seconds))
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, kill)
            code, log = process.wait(30), (tmp_path / "log").read_text()
            if code == -signal.SIGKILL and (tmp_path / "run" / "result.json").exists():
                left = {LOCK}  # killed after result.json: the file of the lock may stay, and locks nothing
            if code == 128 + kill:
                resume = f"recsys-train run={tmp_path / 'run'} resume=true"
                assert resume in log or log.endswith("interrupted by Ctrl-C\n"), "before the first step"
                assert not (tmp_path / "run" / "result.json").exists()
    if not (tmp_path / "run" / "result.json").exists():
        process = start(*KINDS[kind], f"output_dir={tmp_path / 'run'}", "resume=true")
        assert process.wait(120) == 0, (tmp_path / "log").read_text()
    assert_equal(state(tmp_path / "run"), expected)
    assert {path.name for path in (tmp_path / "run").rglob(".*") if path.is_file()} <= left
    assert not (tmp_path / "run" / "failed.json").exists()


def test_two_processes_resume_together(tmp_path: Path) -> None:
    """DDP on gloo: each process has its own dropout masks, and all are restored."""
    overrides = [*KINDS["snapshots"], "hardware=ddp", "hardware.accelerator=cpu", "hardware.devices=2"]
    run("train", *overrides, "output_dir=whole")
    process = subprocess.Popen(
        [sys.executable, "-m", "recsys.cli.train", *overrides, "output_dir=cut"], start_new_session=True
    )
    while not Path("cut/checkpoints/last.ckpt").exists():
        assert process.poll() is None
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert "resuming after step" in run("train", "run=cut", "resume=true").stderr
    assert_equal(state(Path("cut")), state(Path("whole")))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1, signal.SIGINT])
@pytest.mark.parametrize("receivers", ["all", "first", "second"])
def test_several_processes_stop_together(number: signal.Signals, receivers: str, tmp_path: Path) -> None:
    """Schedulers send a signal to all processes, or to one of them; all end, and the run can be resumed."""
    with two_processes(*RUN, "max_epochs=1000", "patience=1000") as process:
        wait_for_checkpoint(process)
        time.sleep(random.Random(f"{number} {receivers}").uniform(0, 0.5))
        if receivers == "all":
            os.killpg(process.pid, number)
        else:
            second = next(pid for pid in processes_of_group(process.pid) if pid != process.pid)
            os.kill(process.pid if receivers == "first" else second, number)
        code = process.wait(30)
        assert_group_ends(process.pid, 10)
    lines = Path("log").read_text().splitlines()
    assert code == 128 + number, lines
    assert [line.partition("; ")[2] for line in lines if "to resume" in line] == [
        f"to resume from the last epoch: recsys-train run={tmp_path / 'run'} resume=true"
    ]
    assert "Traceback" not in "".join(lines)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_no_process_is_left_if_the_first_one_ends_at_the_start(number: signal.Signals) -> None:
    with two_processes(*RUN) as process:
        while len(processes_of_group(process.pid)) < 2:
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(number)  # while the second one imports
        process.wait(30)
        assert_group_ends(process.pid, 30)
