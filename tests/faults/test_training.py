"""What goes wrong in the middle of training: told, bounded in time, and the best weights kept."""

import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from support.commands import run
from support.processes import limited
from test_checkpoints import weights
from test_kills import RUN

from recsys.runs.checkpoint import load_checkpoint

EXPLODING = """
from torch.optim.lr_scheduler import LambdaLR

def exploding(optimizer, steps_per_epoch: int, epochs: int):
    return LambdaLR(optimizer, lambda step: 10.0 ** (step / steps_per_epoch))
"""


def test_a_loss_that_explodes_is_told_and_the_best_is_kept(tmp_path: Path) -> None:
    """The learning rate grows tenfold an epoch: sound at first, and then not."""
    (tmp_path / "conf" / "schedule").mkdir(parents=True)
    (tmp_path / "conf" / "schedule" / "exploding.yaml").write_text("_target_: exploding.exploding\n")
    (tmp_path / "exploding.py").write_text(EXPLODING)
    words = [word for word in RUN if not word.startswith(("schedule", "model", "max_epochs", "patience"))]
    words += ["schedule=exploding", "optimizer=sgd", "optimizer.lr=0.01", "model=matrix-factorization"]
    words += ["max_epochs=30", "patience=30", "output_dir=run"]
    done = run("train", "--config-dir=conf", *words, code=1, PYTHONPATH=str(tmp_path))
    assert "(step " in done.stderr
    assert "learning rate " in done.stderr
    assert "a smaller optimizer.lr or gradient_clip=1 may help" in done.stderr
    assert "Traceback" not in done.stderr
    assert json.loads(Path("run/failed.json").read_text())["error"].startswith("TrainingError: ")
    assert not Path("run/result.json").exists()
    assert all(torch.isfinite(weight).all() for weight in weights(Path("run/checkpoints/best.ckpt")).values())


def test_too_little_memory_names_the_batch_size(tmp_path: Path) -> None:
    """A batch of all ratings and a wide layer, where a process may have 4 GB."""
    words = [*RUN, "batch_size=6000", "model.hidden=[200000]", "output_dir=run"]
    done = limited(resource.RLIMIT_AS, 4 << 30, *words)
    assert done.returncode == 1
    assert "batch_size=6000" in done.stderr
    assert "memory" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("rank", [0, 1])
def test_a_process_that_is_killed_ends_the_others(rank: int, tmp_path: Path) -> None:
    words = [*RUN, "max_epochs=1000", "patience=1000", "hardware=ddp", "hardware.accelerator=cpu"]
    with open("said", "wb") as said:
        process = subprocess.Popen(
            [sys.executable, "-m", "recsys.cli.train", *words, "hardware.devices=2", "output_dir=run"],
            start_new_session=True,
            stdout=said,
            stderr=said,
        )
    try:
        while not Path("run/checkpoints/last.ckpt").exists():
            assert process.poll() is None, Path("said").read_text()
            time.sleep(0.02)
        group = _of_group(process.pid)
        victim = process.pid if rank == 0 else next(pid for pid in group if pid != process.pid)
        os.kill(victim, signal.SIGKILL)
        assert process.wait(60) != 0
        deadline = time.monotonic() + 60
        while _of_group(process.pid):
            assert time.monotonic() < deadline
            time.sleep(0.1)
    finally:
        if _of_group(process.pid):
            os.killpg(process.pid, signal.SIGKILL)
    assert not Path("run/result.json").exists()
    load_checkpoint(Path("run/checkpoints/last.ckpt"))


def _of_group(leader: int) -> list[int]:
    """Processes of a group that still run."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[2]) == leader and fields[0] != "Z":
            found.append(int(stat.parent.name))
    return found
