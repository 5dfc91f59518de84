"""A run that was killed, and killed again, ends as one that was left alone."""

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
from support.processes import started

from recsys.sweeps.forkserver import Forked

BASE = [
    *(
        "data=synthetic",
        "data.ratings=6000",
        "data.users=80",
        "data.items=100",
        "data.step=1",
        "batch_size=40",
    ),
    *("max_epochs=6", "patience=4", "hardware=cpu", "logger=none"),
]
SMALL = ["model=embedding-net", "model.embedding_dim=8", "model.hidden=[16]"]
RUN = [*BASE, *SMALL, "schedule.cycle_epochs=2"]
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
    """What must be equal, bit for bit: weights of the best and the last, metrics, what was chosen."""
    tensors = {}
    for name in ("best", "last"):
        content = torch.load(folder / "checkpoints" / f"{name}.ckpt", weights_only=True)
        members = {f"member {n}": weights for n, weights in enumerate(content["snapshots"])}
        for part, weights in {"own": content["state_dict"], **members}.items():
            tensors |= {f"{name} {part} {key}": value for key, value in weights.items()}
    result = result_in(folder)
    facts = {key: result[key] for key in ("metrics", "objective", "baselines", "model", "data", "seed")}
    return tensors, facts | {"epochs": result["time"]["epochs"]}


def assert_equal(one: tuple[dict, dict], other: tuple[dict, dict]) -> None:
    assert one[1] == other[1]
    assert one[0].keys() == other[0].keys()
    assert [key for key in one[0] if not torch.equal(one[0][key], other[0][key])] == []


@pytest.fixture(scope="module")
def alone(server, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], tuple[float, tuple]]:
    """Seconds and end of a run that nobody interrupts; each kind is run once."""
    known: dict[str, tuple[float, tuple]] = {}

    def alone(kind: str) -> tuple[float, tuple]:
        if kind not in known:
            folder, begin = tmp_path_factory.mktemp("alone") / "run", time.monotonic()
            said = folder.with_name("said")
            process = started(server, said, *KINDS[kind], f"output_dir={folder}")
            assert process.wait(120) == 0, said.read_text()
            known[kind] = time.monotonic() - begin, state(folder)
        return known[kind]

    return alone


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", [0, 1])
def test_a_run_killed_at_any_moment_ends_as_if_it_had_not_been(
    kind: str, seed: int, alone, start: Callable[..., Forked], tmp_path: Path
) -> None:
    """SIGKILL loses what came after the last epoch's end; SIGTERM and SIGINT lose nothing. One and the same
    command begins and goes on, as a scheduler runs it."""
    chance, (seconds, expected) = random.Random(f"{kind} {seed}"), alone(kind)
    for kill in chance.choices([signal.SIGKILL, signal.SIGTERM, signal.SIGINT], k=3):
        process = start(*KINDS[kind], f"output_dir={tmp_path / 'run'}", "resume=true")
        try:
            process.wait(chance.uniform(0, 0.8 * seconds))
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, kill)
            code, said = process.wait(30), (tmp_path / "said").read_text()
            if code == 128 + kill:
                assert f"recsys-train run={tmp_path / 'run'} resume=true" in said or "by the keyboard" in said
                assert not (tmp_path / "run" / "result.json").exists()
    if not (tmp_path / "run" / "result.json").exists():
        process = start(*KINDS[kind], f"output_dir={tmp_path / 'run'}", "resume=true")
        assert process.wait(120) == 0, (tmp_path / "said").read_text()
    assert_equal(state(tmp_path / "run"), expected)
    assert not [path for path in (tmp_path / "run").rglob(".*") if path.is_file()]
    assert not (tmp_path / "run" / "failed.json").exists()


def test_two_processes_go_on_together(tmp_path: Path) -> None:
    """DDP on gloo: each process has masks of its own, and all come back."""
    words = [*KINDS["snapshots"], "hardware=ddp", "hardware.accelerator=cpu", "hardware.devices=2"]
    run("train", *words, "output_dir=whole")
    process = subprocess.Popen(
        [sys.executable, "-m", "recsys.cli.train", *words, "output_dir=cut"], start_new_session=True
    )
    while not Path("cut/checkpoints/last.ckpt").exists():
        assert process.poll() is None
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert "goes on after step" in run("train", "run=cut", "resume=true").stderr
    assert_equal(state(Path("cut")), state(Path("whole")))
