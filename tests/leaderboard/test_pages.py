"""A sweep in a browser: TensorBoard's HParams tab, and the page of the leaderboard."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from support.commands import result_in, run
from support.tensorboard import tensorboard
from support.tiny import QUICK

if TYPE_CHECKING:
    from playwright.sync_api import Page

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


@pytest.fixture
def leaderboard(page, sweep: Path) -> Iterator["Page"]:
    """Open the page of the sweep, and check that it reports no problem and makes no request."""
    problems: list[str] = []
    requests: list[str] = []
    page.on("pageerror", lambda problem: problems.append(str(problem)))
    page.on("console", lambda message: problems.append(message.text))
    page.on("request", lambda request: requests.append(request.url))
    page.goto(f"file://{sweep}/leaderboard.html")
    yield page
    assert not problems
    made_by_the_page = "blob:"  # the image of a saved figure
    assert {url for url in requests if not url.startswith(made_by_the_page)} == {page.url}


@pytest.mark.parametrize("width", [1280, 400])
def test_the_page_of_the_leaderboard_fits_the_window(leaderboard, sweep: Path, width: int) -> None:
    leaderboard.set_viewport_size({"width": width, "height": 900})
    leaderboard.reload()  # a resized figure is drawn later
    best = min("0123", key=lambda job: result_in(sweep / job)["metrics"]["val/rmse"])
    assert leaderboard.locator("tbody tr").first.locator("td").nth(1).inner_text() == best
    assert "recsys-train" in leaderboard.locator("code").inner_text()
    assert leaderboard.locator("figure").count() == leaderboard.locator(".plot .plot-container").count() == 5
    assert leaderboard.evaluate("document.documentElement.scrollWidth") == width
    for box in (svg.bounding_box() for svg in leaderboard.locator(".plot svg.main-svg").all()):
        assert box["width"] > 300
        assert box["x"] + box["width"] <= width


def test_a_click_on_a_column_sorts_the_table(leaderboard) -> None:
    def column(index: int) -> list[str]:
        return leaderboard.locator(f"tbody td:nth-child({index})").all_inner_texts()

    leaderboard.get_by_role("button", name="parameters").click()
    ascending = [int(text.replace(",", "")) for text in column(7)]
    assert ascending == sorted(ascending)
    leaderboard.get_by_role("button", name="parameters").click()
    assert [int(text.replace(",", "")) for text in column(7)] == ascending[::-1]
    assert leaderboard.locator("th[aria-sort=descending]").inner_text().startswith("parameters")
    leaderboard.get_by_role("button", name="test/rmse").click()
    assert [bool(text) for text in column(6)] == [True, False, False, False], "rows without a value are last"
    leaderboard.get_by_role("button", name="test/rmse").click()
    assert [bool(text) for text in column(6)] == [True, False, False, False]


def test_the_mouse_pointer_shows_the_run(leaderboard, sweep: Path) -> None:
    leaderboard.locator(".plot").first.scroll_into_view_if_needed()
    leaderboard.locator(".plot .point").first.hover(force=True)
    text = leaderboard.locator(".hoverlayer").first.text_content()
    job = re.search(r"job (\d)", text)[1]
    assert f"hidden={HIDDEN[job].replace(' ', '')}" in text
    assert f"val/rmse {result_in(sweep / job)['metrics']['val/rmse']:.4f}" in text


def test_a_figure_can_be_saved_and_has_no_button_that_sends_it_to_a_server(leaderboard) -> None:
    buttons = leaderboard.locator(".plot").first.locator(".modebar-btn")
    assert [button.get_attribute("data-title") for button in buttons.all()] == [
        "Download plot as a PNG",
        "Reset axes",
    ]
    with leaderboard.expect_download() as download:
        buttons.first.click(force=True)
    assert download.value.path().read_bytes().startswith(b"\x89PNG")


def test_figures_follow_the_color_scheme(leaderboard) -> None:
    def contrast_exceeds(ratio: float) -> str:
        """Return JavaScript that compares the title of an axis with the page, as WCAG defines contrast."""
        return """() => {
            const light = color => {
                const parts = color.match(/[\\d.]+/g).slice(0, 3).map(part => part / 255)
                const linear = parts.map(c => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)
                return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2] + 0.05
            }
            const text = light(getComputedStyle(document.querySelector(".xtitle")).fill)
            const page = light(getComputedStyle(document.body).backgroundColor)
            return Math.max(text, page) / Math.min(text, page) > RATIO
        }""".replace("RATIO", str(ratio))

    background = "getComputedStyle(document.body).backgroundColor"
    for scheme in ("light", "dark", "light"):
        leaderboard.emulate_media(color_scheme=scheme)
        assert (leaderboard.evaluate(background) == "rgb(255, 255, 255)") == (scheme == "light")
        leaderboard.wait_for_function(contrast_exceeds(7))  # figures are drawn again after the event
