import os

# Before torch is imported: results depend on the number of threads, and spinning threads slow down others.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import shutil
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from omegaconf import DictConfig

from recsys.experiment import compose as composing

if TYPE_CHECKING:
    from playwright.sync_api import Page


@pytest.fixture(autouse=True)
def own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test reads or writes the user's cache, mirror or outputs."""
    monkeypatch.setenv("RECSYS_DATA", str(tmp_path / "data"))
    for name in list(os.environ):
        if name == "RECSYS_MIRROR" or name.startswith(("MLFLOW_", "WANDB_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))  # where W&B looks for an API key
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def compose() -> Callable[..., DictConfig]:
    """Return the function that composes conf/<name>.yaml as a command does."""
    return composing.compose


@pytest.fixture
def unused_port() -> int:
    """Return a port of this machine on which no process listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture
def page() -> Iterator["Page"]:
    """A page of a headless Chromium."""
    playwright = pytest.importorskip("playwright.sync_api", reason="pip install playwright")
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if chromium is None:
        pytest.skip("no Chromium on this machine")
    with playwright.sync_playwright() as play:
        browser = play.chromium.launch(
            executable_path=chromium, args=["--no-sandbox", "--disable-background-networking"]
        )
        yield browser.new_page(viewport={"width": 1400, "height": 900})
        browser.close()
