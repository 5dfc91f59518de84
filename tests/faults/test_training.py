"""Failures during training: they are reported, end in bounded time, and keep the best weights."""

import json
import os
import resource
import signal
from pathlib import Path

import pytest
import torch
from support.commands import modules_in, run
from support.interrupted import RUN
from support.processes import (
    assert_group_ends,
    limited,
    processes_of_group,
    two_processes,
    wait_for_checkpoint,
)
from support.weights import saved_weights

from recsys.runs.checkpoint import load_checkpoint

pytestmark = pytest.mark.slow

EXPLODING = """
from torch.optim.lr_scheduler import LambdaLR
from recsys.training.schedules import Schedule

class Exploding(Schedule):
    def __call__(self, optimizer, steps_per_epoch: int, max_epochs: int):
        return LambdaLR(optimizer, lambda step: 10.0 ** (step / steps_per_epoch))
"""


def test_an_exploding_loss_is_reported_and_the_best_weights_are_kept(tmp_path: Path) -> None:
    """The learning rate grows tenfold per epoch."""
    (tmp_path / "conf" / "schedule").mkdir(parents=True)
    (tmp_path / "conf" / "schedule" / "exploding.yaml").write_text("_target_: exploding.Exploding\n")
    (tmp_path / "exploding.py").write_text(EXPLODING)
    changed = ("schedule", "model", "max_epochs", "patience")
    overrides = [override for override in RUN if not override.startswith(changed)]
    overrides += ["schedule=exploding", "optimizer=sgd", "optimizer.lr=0.01", "model=matrix-factorization"]
    overrides += ["max_epochs=30", "patience=30", "output_dir=run"]
    done = run("train", "--config-dir=conf", *overrides, code=1, **modules_in(tmp_path))
    assert "(step " in done.stderr
    assert "learning rate " in done.stderr
    assert "try a smaller optimizer.lr, or gradient_clip=1" in done.stderr
    assert "Traceback" not in done.stderr
    assert json.loads(Path("run/failed.json").read_text())["error"].startswith("TrainingError: ")
    assert not Path("run/result.json").exists()
    best = saved_weights(Path("run/checkpoints/best.ckpt"))
    assert best
    assert all(torch.isfinite(weight).all() for weight in best.values())


def test_too_little_memory_names_the_batch_size(tmp_path: Path) -> None:
    """One batch of all ratings and a wide layer, in a process that may use 4 GB."""
    overrides = [*RUN, "batch_size=6000", "model.hidden=[200000]", "output_dir=run"]
    done = limited(resource.RLIMIT_AS, 4 << 30, *overrides)
    assert done.returncode == 1
    assert "batch_size=6000" in done.stderr
    assert "memory" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("rank", [0, 1])
def test_a_process_that_is_killed_ends_the_others(rank: int, tmp_path: Path) -> None:
    with two_processes(*RUN, "max_epochs=1000", "patience=1000") as process:
        wait_for_checkpoint(process)
        group = processes_of_group(process.pid)
        victim = process.pid if rank == 0 else next(pid for pid in group if pid != process.pid)
        os.kill(victim, signal.SIGKILL)
        assert process.wait(60) != 0
        assert_group_ends(process.pid, 60)
    assert not Path("run/result.json").exists()
    load_checkpoint(Path("run/checkpoints/last.ckpt"))
