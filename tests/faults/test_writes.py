"""Interrupted writes: a file is either the old or the complete new one."""

import os
import re
import resource
import signal
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback
from support.interrupted import RUN
from support.processes import killed_after, limited, on_small_disk, without_privileges
from support.tiny import QUICK

from recsys.atomic import atomic_write, remove_leftovers
from recsys.data.cache import cached
from recsys.data.dataset import Dataset, encode
from recsys.errors import Stopped
from recsys.experiment.compose import compose
from recsys.experiment.train import train
from recsys.runs.folder import read_json

pytestmark = pytest.mark.slow


def test_a_file_is_the_old_or_the_new_one(tmp_path: Path) -> None:
    file, contents = tmp_path / "result.json", [bytes([letter]) * 300_000 for letter in b"ab"]
    file.write_bytes(contents[0])

    def write() -> None:
        while True:
            for content in contents:
                with atomic_write(file) as temporary:
                    temporary.write_bytes(content)

    for number in range(20):
        killed_after(0.002 * number, write)
        assert file.read_bytes() in contents
    remove_leftovers(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["result.json"]


def test_a_file_does_not_replace_a_pipe(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.csv")
    with pytest.raises(OSError, match=r"not a regular file") as caught, atomic_write(tmp_path / "pipe.csv"):
        pass
    assert caught.value.filename == str(tmp_path / "pipe.csv")
    assert (tmp_path / "pipe.csv").is_fifo()
    assert [path.name for path in tmp_path.iterdir()] == ["pipe.csv"]


def test_encoded_data_is_complete_or_encoded_again(tmp_path: Path) -> None:
    n = 200_000
    row = np.arange(n)
    columns = {"user": row // 400, "item": row % 400, "rating": row % 5 + 1.0, "timestamp": row}
    ratings = pd.DataFrame(columns)

    items = pd.DataFrame({"item": [], "title": [], "year": [], "genres": []})

    def build() -> Dataset:
        return encode("made-up", ratings, items, (1, 5))

    whole = build()
    for number in range(15):
        identity = [number]
        killed_after(0.004 * number, lambda identity=identity: cached("set", identity, build))
        found = cached("set", identity, build)
        assert (found.sha256, len(found)) == (whole.sha256, n)
        assert (found.items == whole.items).all()


def test_a_full_disk_is_reported_and_checkpoints_are_kept(tmp_path: Path, start) -> None:
    process = start(*RUN, "max_epochs=1000", "patience=1000", f"output_dir={tmp_path / 'run'}")
    kept = tmp_path / "run" / "checkpoints"
    while not (kept / "last.ckpt").exists():
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGTERM)
    assert process.wait(30) == 128 + signal.SIGTERM
    before = {path.name: path.read_bytes() for path in kept.iterdir()}
    done = limited(resource.RLIMIT_FSIZE, 20_000, f"run={tmp_path / 'run'}", "resume=true")
    assert done.returncode == 1
    assert re.search(
        r"run/\S+: cannot be written \(File too large\); saved checkpoints are intact", done.stderr
    )
    assert "Traceback" not in done.stderr
    assert {path.name: path.read_bytes() for path in kept.iterdir()} == before


def test_a_full_disk_at_the_first_checkpoint_is_reported(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    large = [*QUICK, "model.embedding_dim=4000", f"output_dir={disk / 'run'}"]
    done, files = on_small_disk(disk, "600k", *large)
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert re.match(
        rf"{disk}/run/checkpoints/\w+\.ckpt: cannot be written \(No space left on device\); free", last
    )
    assert last.endswith(f"recsys-train run={disk / 'run'} resume=true")
    assert "Traceback" not in done.stderr
    names = {Path(name).name for name in files.splitlines()}
    assert names == {"config.yaml", "hydra.yaml", "overrides.yaml", "train.log", "failed.json"}


def test_a_full_disk_is_reported_without_a_traceback_of_tensorboard(tmp_path: Path) -> None:
    """TensorBoard writes in a thread of its own."""
    disk = tmp_path / "disk"
    options = [option for option in QUICK if not option.startswith("logger=")]
    done, _ = on_small_disk(
        disk, "40k", *options, "model=bias", "logger=tensorboard", f"output_dir={disk / 'run'}"
    )
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "cannot be written (No space left on device)" in done.stderr.splitlines()[-1]


def test_a_file_that_may_not_grow_at_the_first_checkpoint_is_reported(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    done = limited(resource.RLIMIT_FSIZE, 50_000, *QUICK, "model.embedding_dim=400", f"output_dir={folder}")
    assert done.returncode == 1
    assert re.search(
        rf"^{folder}/checkpoints/\w+\.ckpt: cannot be written \(File too large\)", done.stderr, re.M
    )
    assert "checkpoints/" in read_json(folder / "failed.json")["error"]
    assert list((folder / "checkpoints").iterdir()) == []


def test_a_full_disk_after_training_is_reported_and_the_run_can_be_resumed(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    many = ["data.ratings=100000", "data.users=1000", "data.items=400", "model=bias", "batch_size=50000"]
    done = limited(resource.RLIMIT_FSIZE, 100_000, *QUICK, *many, f"output_dir={folder}")
    assert done.returncode == 1
    assert re.search(
        rf"^{folder}/data\.pt: cannot be written \(File too large\).*resume=true", done.stderr, re.M
    )
    assert not {"data.pt", "result.json"} & {path.name for path in folder.iterdir()}
    assert train(compose(*QUICK, *many), folder, resume=True).result["status"] == "completed"
    assert (folder / "data.pt").stat().st_size > 100_000


def test_a_full_disk_at_the_start_leaves_nothing_behind(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    done, files = on_small_disk(disk, "4k", *QUICK, f"output_dir={disk / 'run'}")
    assert done.returncode == 1
    assert re.fullmatch(rf"{disk}/run/\S+: cannot be \w+ \(No space left on device\); .*\n", done.stderr)
    assert files == ""


def test_a_full_disk_at_the_start_of_a_sweep_names_its_folder(tmp_path: Path) -> None:
    done, _ = on_small_disk(tmp_path / "disk", "4k", *QUICK, "-m", "seed=1,2", "output_dir=disk/sweep")
    assert done.returncode == 1
    assert done.stderr == "output_dir=disk/sweep: cannot be written (No space left on device)\n"


class StopAfterOneEpoch(Callback):
    """Ends a run as a signal does."""

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.current_epoch == 1:
            raise Stopped("enough", signal.SIGTERM)


def test_a_checkpoint_that_may_not_be_read_is_not_called_damaged(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    with pytest.raises(Stopped):
        train(compose(*QUICK), folder, callbacks=[StopAfterOneEpoch()])
    last = folder / "checkpoints" / "last.ckpt"
    last.chmod(0)
    done = without_privileges(f"run={folder}", "resume=true")
    assert done.returncode == 1
    assert done.stderr == f"{last}: cannot be read (Permission denied); make it readable for this user\n"


@pytest.mark.parametrize("name", [".", "checkpoints", "train.log", "train.log is a folder"])
def test_a_run_that_may_not_be_written_is_not_resumed(name: str, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    with pytest.raises(Stopped):
        train(compose(*QUICK), folder, callbacks=[StopAfterOneEpoch()])
    path, mode = folder / name.split()[0], 0
    if "folder" in name:
        path.unlink()
        path.mkdir()
    else:
        mode = path.stat().st_mode
        path.chmod(mode & ~0o222)
    done = without_privileges(f"run={folder}", "resume=true")
    if mode:
        path.chmod(mode)
    assert done.returncode == 1
    errors = [line for line in done.stderr.splitlines() if " INFO " not in line and " WARNING " not in line]
    assert len(errors) == 1, done.stderr
    assert errors[0].startswith(str(path))
    assert "make it writable" in errors[0]
    if "folder" in name:
        path.rmdir()
    assert train(compose(*QUICK), folder, resume=True).result["status"] == "completed"


def test_a_full_disk_is_reported_when_data_is_encoded(tmp_path: Path) -> None:
    lines = "".join(f"{user},{item},3\n" for user in range(200) for item in range(50))
    (tmp_path / "mine.csv").write_text(f"user,item,rating\n{lines}")
    done = limited(
        resource.RLIMIT_FSIZE,
        50_000,
        "data=table",
        f"data.path={tmp_path / 'mine.csv'}",
        "max_epochs=1",
        "hardware=cpu",
    )
    assert done.returncode == 1
    assert "RECSYS_DATA=" in done.stderr
    assert "File too large" in done.stderr
    assert not list((tmp_path / "data" / "encoded").glob("mine*"))
