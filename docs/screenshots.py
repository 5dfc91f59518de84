"""Take the screenshots of docs/images in Chromium: TensorBoard, the leaderboard, and the report of recsys-explore.

    recsys-train experiment=embedding-net sweep=embedding-size-by-layer-widths hardware=cpu
    recsys-train hardware=cpu && recsys-explore
    python docs/screenshots.py outputs/sweeps/<date>_<time>-<microseconds>_embedding-size-by-layer-widths \
        outputs/runs/<date>_<time>-<microseconds>

Needs `pip install -e '.[browser]'` and an executable `chromium`.
"""

import io
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, sync_playwright

IMAGES = Path(__file__).parent / "images"
TAGS = "^(val/rmse|train/loss|lr)$"
JOBS = "^[036]/e"  # one job for each embedding size


@contextmanager
def tensorboard(logdir: Path) -> Iterator[str]:
    """Start TensorBoard, wait until it has read all runs, and yield its address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "tensorboard.main", "--logdir", str(logdir), "--port", str(port)]
    jobs = len(list(logdir.glob("*/result.json")))
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        try:
            for _ in range(300):
                with (
                    suppress(OSError),
                    urllib.request.urlopen(f"http://127.0.0.1:{port}/data/runs") as answer,
                ):
                    if answer.read().count(b"embedding_dim") >= jobs:
                        break
                time.sleep(0.2)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.kill()


def take(page: Page, name: str, width: int, height: int, whole: bool = False) -> None:
    """Write docs/images/<name>.png: the window, or with `whole` the whole page."""
    page.set_viewport_size({"width": width, "height": height})
    page.wait_for_timeout(3000)  # animations of TensorBoard and plotly
    picture = Image.open(io.BytesIO(page.screenshot(full_page=whole)))
    picture.convert("RGB").quantize(256).save(IMAGES / f"{name}.png", optimize=True)  # a third of the size


def main(sweep: Path, run: Path) -> None:
    """Take all screenshots."""
    chromium = shutil.which("chromium")
    if chromium is None:
        sys.exit("chromium: no such executable on PATH; install Chromium")
    with sync_playwright() as play, tensorboard(sweep) as address:
        browser = play.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page()
        page.goto(f"{address}/?runFilter={JOBS}&tagFilter={TAGS}&smoothing=0#timeseries")
        page.get_by_text("3 cards").wait_for(timeout=60_000)
        page.get_by_text("Enable step selection").click()  # a table below each curve
        page.get_by_label("Toggle settings side pane").click()  # closes the panel
        take(page, "dashboard", 1500, 510)
        page.goto(f"{address}/#hparams")
        page.get_by_text("Parallel Coordinates View").click(timeout=60_000)
        take(page, "hparams", 1150, 850)
        page.goto((sweep / "leaderboard.html").absolute().as_uri())
        take(page, "leaderboard", 1100, 900, whole=True)
        page.goto((run / "explore.html").absolute().as_uri())
        take(page, "explore", 1100, 900)
        browser.close()


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(Path(sys.argv[1]), Path(sys.argv[2]))
