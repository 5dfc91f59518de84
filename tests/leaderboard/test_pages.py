"""A sweep in a browser: TensorBoard's HParams tab, and the page of the leaderboard."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.commands import result_in, run
from support.tensorboard import tensorboard
from support.tiny import QUICK

pytestmark = pytest.mark.slow
HIDDEN = {"0": "[8]", "1": "[8, 4]", "2": "[8]", "3": "[8, 4]"}


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Run a sweep of two embedding sizes by two shapes, and return its folder."""
    folder = tmp_path_factory.mktemp("outputs") / "sweep"
    grid = ["model.embedding_dim=4,8", "model.hidden=[8],[8,4]"]
    run("train", "-m", *QUICK, "logger=tensorboard", *grid, f"output_dir={folder}")
    return folder


@pytest.fixture
def address(sweep: Path, unused_port: int) -> Iterator[str]:
    """Start TensorBoard on the sweep, and return its address."""
    with tensorboard(sweep, unused_port, lambda runs: runs.count(b"embedding_dim") == 4) as address:
        yield address


def test_hparams_shows_the_varied_keys_and_the_best_validation_metrics(
    page, sweep: Path, address: str
) -> None:
    page.goto(f"{address}/#hparams")
    page.get_by_text("0/embedding_dim=4,hidden=8", exact=True).wait_for(timeout=60_000)
    cells = page.locator("vaadin-grid-cell-content").all_inner_texts()
    columns = [cell for cell in cells[: cells.index("")] if cell]
    assert columns[:4] == ["Trial ID", "Show Metrics", "model.embedding_dim", "model.hidden"]
    assert columns[-2:] == ["val/best_rmse", "val/best_mae"]
    shown = [cell for cell in cells if cell.strip()]
    for job, hidden in HIDDEN.items():
        dim = 4 if job in "01" else 8
        row = shown[shown.index(f"{job}/embedding_dim={dim},hidden={re.sub(', ', '-', hidden[1:-1])}") :]
        values = result_in(sweep / job)["metrics"]
        assert (float(row[1]), row[2]) == (dim, hidden)
        assert float(row[len(columns) - 3]) == pytest.approx(values["val/rmse"], rel=1e-4)
        assert float(row[len(columns) - 2]) == pytest.approx(values["val/mae"], rel=1e-4)
    assert not [cell for cell in shown if "hp_metric" in cell or "test" in cell]


def test_parallel_coordinates_have_one_axis_per_varied_key(page, address: str) -> None:
    page.goto(f"{address}/#hparams")
    page.get_by_text("Parallel Coordinates View").click(timeout=60_000)
    axes = page.locator("tf-hparams-parallel-coords-plot .axis-title, tf-hparams-parallel-coords-plot .label")
    axes.first.wait_for(timeout=60_000)
    texts = " ".join(page.locator("tf-hparams-parallel-coords-plot text").all_text_contents())
    for name in ("model.embedding_dim", "model.hidden", "val/best_rmse"):
        assert name in texts


def test_the_page_of_the_leaderboard_fits_the_window(page, sweep: Path) -> None:
    problems: list[str] = []
    page.on("pageerror", lambda problem: problems.append(str(problem)))
    page.on("requestfailed", lambda request: problems.append(request.url))
    page.goto(f"file://{sweep}/leaderboard.html")
    assert not problems
    assert page.locator("table tr").count() == 5
    assert page.locator("svg").count() == 3
    for box in (svg.bounding_box() for svg in page.locator("svg").all()):
        assert box["width"] > 600
        assert box["x"] + box["width"] <= 1400
    best = min("0123", key=lambda job: result_in(sweep / job)["metrics"]["val/rmse"])
    assert page.locator("table tr").nth(1).locator("td").first.inner_text() == best
    assert "recsys-train" in page.locator("code").inner_text()
