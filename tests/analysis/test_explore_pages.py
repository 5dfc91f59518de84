"""The report in a browser: the HTML page, and TensorBoard's figures and projector."""

import json
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.tensorboard import tensorboard

from recsys.cli.explore import explore

pytestmark = pytest.mark.slow


@pytest.fixture
def explored(run_folder: Path) -> Path:
    explore(str(run_folder), components=2, top=30)
    return run_folder


@pytest.fixture
def address(explored: Path, unused_port: int) -> Iterator[str]:
    """The address of a TensorBoard of the folder of all runs."""
    with tensorboard(explored.parent, unused_port, lambda runs: b"one/figures" in runs) as address:
        yield address


def get(address: str, **query: str) -> bytes:
    with urllib.request.urlopen(f"{address}?{urllib.parse.urlencode(query)}") as response:
        return response.read()


def test_the_page_shows_all_figures_without_scripts_and_requests(page, explored: Path) -> None:
    problems: list[str] = []
    page.on("pageerror", lambda problem: problems.append(str(problem)))
    page.on("console", lambda message: problems.append(message.text))
    requests: list[str] = []
    page.on("request", lambda request: requests.append(request.url))
    page.goto(f"file://{explored}/explore.html")
    assert not problems
    assert requests == [f"file://{explored}/explore.html"], "the page loads no other files"
    assert page.locator("script").count() == 0
    assert page.locator("h1").inner_text() == "embedding-net on synthetic"
    assert page.locator("figure").count() == page.locator("svg").count() == 12
    for figure in page.locator("figure").all():
        assert figure.locator("figcaption").inner_text().endswith(".")
        box = figure.locator("svg").bounding_box()
        assert box["width"] > 400
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= 1400
    page.get_by_text("All correlations").click()
    assert page.locator("table tr").nth(1).locator("td").nth(1).inner_text() == "mean rating"


def test_tensorboard_lists_the_figures_and_the_projector_of_a_run(explored: Path, address: str) -> None:
    projector = f"{address}/data/plugin/projector"
    assert json.loads(get(f"{projector}/runs")) == ["one/figures"]
    (embedding,) = json.loads(get(f"{projector}/info", run="one/figures"))["embeddings"]
    assert embedding["tensorShape"] == [30, 8]
    items = get(f"{projector}/metadata", run="one/figures", name=embedding["tensorName"]).decode()
    lines = [line.split("\t") for line in items.splitlines()]
    assert lines[0] == ["title", "genres", "year", "ratings"]
    assert len(lines) == 31
    assert lines[1][0].startswith("Synthetic Item")
    assert len(get(f"{projector}/tensor", run="one/figures", name=embedding["tensorName"])) == 30 * 8 * 4
    images = json.loads(get(f"{address}/data/plugin/images/tags"))["one/figures"]
    assert {"explore/component-1", "explore/map-1-2", "explore/calibration"} <= set(images)


def test_the_projector_shows_all_items_in_a_browser(page, address: str) -> None:
    page.goto(f"{address}/#projector")
    projector = page.frame_locator("iframe").frame_locator("iframe")
    projector.get_by_text("Points: 30").wait_for(timeout=60_000)
    projector.get_by_text("Dimension: 8").wait_for()
