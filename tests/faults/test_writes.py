"""Interrupted writes: a file is either the old or the complete new one."""

import os
import resource
import signal
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from support.interrupted import RUN
from support.processes import killed_after, limited

from recsys.atomic import atomic_write, remove_leftovers
from recsys.data.cache import cached
from recsys.data.dataset import Dataset, encode

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
    assert "run: cannot be written (File too large); saved checkpoints are intact" in done.stderr
    assert "Traceback" not in done.stderr
    assert {path.name: path.read_bytes() for path in kept.iterdir()} == before


def test_a_full_disk_is_reported_when_data_is_encoded(tmp_path: Path) -> None:
    lines = "".join(f"{user},{item},3\n" for user in range(200) for item in range(50))
    (tmp_path / "mine.csv").write_text(f"user,item,rating\n{lines}")
    done = limited(
        resource.RLIMIT_FSIZE,
        50_000,
        "data=csv",
        f"data.path={tmp_path / 'mine.csv'}",
        "max_epochs=1",
        "hardware=cpu",
    )
    assert done.returncode == 1
    assert "RECSYS_DATA=" in done.stderr
    assert "File too large" in done.stderr
    assert not list((tmp_path / "data" / "encoded").glob("mine*"))
