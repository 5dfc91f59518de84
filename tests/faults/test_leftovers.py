"""The next process removes the temporary files and folders of killed ones, but not those of live ones."""

import hashlib
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock, Timeout
from support.archives import sample_ratings, tabs_members, zipped
from support.datasets import dataset_of
from support.finished import finished_run
from support.processes import FORK
from support.tiny import QUICK

from recsys import atomic
from recsys.analysis import publish
from recsys.cli.explore import explore
from recsys.data import storage
from recsys.data.cache import cached, data_folder
from recsys.data.sources import download
from recsys.data.sources.download import fetch
from recsys.data.sources.public_archive import Archive

GOOD = zipped(tabs_members(sample_ratings()))
ARCHIVE = Archive("tiny", "http://127.0.0.1:9/tiny.zip", hashlib.md5(GOOD).hexdigest())


def kill(*_: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def killed_in(module: object, function: str, work: Callable[[], object]) -> None:
    """Run a function in a process of its own, which is killed when it calls a function of a module."""

    def run() -> None:
        setattr(module, function, kill)
        work()

    process = FORK.Process(target=run)
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL


def hidden(folder: Path) -> list[str]:
    """Return the hidden files and folders of a folder, except locks."""
    return sorted(path.name for path in folder.glob(".*") if path.suffix != ".lock" and path.name != ".hydra")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("module", "function"), [(publish, "write_tensorboard"), (atomic, "flush")], ids=["figures", "page"]
)
def test_a_report_removes_what_killed_reports_left(module: object, function: str, tmp_path: Path) -> None:
    folder = finished_run(tmp_path / "run", [*QUICK, "model=bias"])
    for _ in range(2):
        killed_in(module, function, lambda: explore(str(folder), top=10, components=1))
        assert len(hidden(folder)) == 1, "the second process removes what the first one left"
    explore(str(folder), top=10, components=1)
    assert hidden(folder) == []
    assert not (folder / ".explore.lock").exists()


@pytest.mark.slow
def test_a_report_is_written_under_a_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So the temporary files of a live process are never taken for those of a killed one."""
    folder, render, locked = finished_run(tmp_path / "run", [*QUICK, "model=bias"]), publish.render_report, []

    def checked(*arguments: Any) -> str:
        with pytest.raises(Timeout):
            FileLock(folder / ".explore.lock", timeout=0).acquire()
        locked.append(True)
        return render(*arguments)

    monkeypatch.setattr(publish, "render_report", checked)
    explore(str(folder), top=10, components=1)
    assert locked == [True]


def test_encoding_removes_what_killed_processes_left() -> None:
    for _ in range(2):
        killed_in(storage, "flush", lambda: cached("set", [1], lambda: dataset_of([1, 2, 3])))
        assert len(hidden(data_folder() / "encoded")) == 1
    (data_folder() / "encoded" / ".other-1.writing-x").mkdir()
    assert len(cached("set", [1], lambda: dataset_of([1, 2, 3]))) == 3
    assert hidden(data_folder() / "encoded") == [".other-1.writing-x"], "another process may be writing it"


def test_a_download_removes_what_killed_ones_left(tmp_path: Path) -> None:
    (tmp_path / "mirror").mkdir()
    (tmp_path / "mirror" / "tiny.zip").write_bytes(GOOD)
    mirror, kept = str(tmp_path / "mirror"), tmp_path / "kept"
    for _ in range(2):
        killed_in(download, "flush", lambda: fetch(ARCHIVE, kept, mirror))
        assert len(hidden(kept)) == 1
    assert fetch(ARCHIVE, kept, mirror).read_bytes() == GOOD
    assert hidden(kept) == []
