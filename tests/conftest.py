import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch: results depend on the number of threads

import shutil
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import hydra
import pytest
from omegaconf import DictConfig

from recsys.cli.app import register_resolvers
from recsys.paths import conf_dir

if TYPE_CHECKING:
    from playwright.sync_api import Page


@pytest.fixture(autouse=True)
def own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test reads or writes the user's cache, mirror or outputs."""
    monkeypatch.setenv("RECSYS_DATA", str(tmp_path / "data"))
    monkeypatch.delenv("RECSYS_MIRROR", raising=False)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def compose() -> Callable[..., DictConfig]:
    """Compose conf/<name>.yaml as a command would."""
    register_resolvers()

    def compose(*overrides: str, name: str = "train") -> DictConfig:
        with hydra.initialize_config_dir(conf_dir(), version_base="1.3"):
            return hydra.compose(name, list(overrides))

    return compose


@pytest.fixture
def unused_port() -> int:
    """A port on this machine that nobody listens on."""
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
