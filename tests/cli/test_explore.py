import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from support.commands import run
from support.tiny import QUICK

from recsys.analysis.figures.components import label_points, plot_extremes
from recsys.analysis.figures.style import short
from recsys.analysis.publish import _write_projector
from recsys.analysis.report import Story, tell
from recsys.cli.explore import explore
from recsys.errors import ConfigError, RunError
from recsys.experiment.train import train
from recsys.runs.load import load_run

FIGURES = {"correlations", "component-1", "component-2", "map-1-2", "bias-items", "bias-users", "curves"}
FIGURES |= {"predictions", "calibration", "errors-by-activity", "errors-by-popularity"}


def test_everything_is_left_in_the_runs_folder_and_nowhere_else(film_run: Path, tmp_path: Path) -> None:
    before = set(tmp_path.rglob("*"))
    told = run("explore", "components=2")
    assert "goes with" in told.stdout
    assert told.stdout.splitlines()[-2] == "page: outputs/runs/one/explore.html"
    made = {path for path in set(tmp_path.rglob("*")) - before if path.is_file()}
    assert {path.parent for path in made} == {film_run, film_run / "figures"}
    names = {path.name for path in made if not path.name.startswith("events.")}
    expected = {f"{name}.{ending}" for name in FIGURES for ending in ("png", "svg")}
    assert names == expected | {"explore.html", "items.tsv", "vectors.tsv", "projector_config.pbtxt"}

    told = run("explore", "components=1", "format=json")
    rows = json.loads(told.stdout)
    assert {row["component"] for row in rows} == {1}
    assert list(rows[0]) == ["component", "property", "items", "r", "low", "high", "p", "partial"]
    assert rows[0]["partial"] is None, "of mean rating at equal mean rating"
    assert "no map of components 1 and 2: there are 1" in told.stderr
    assert not (film_run / "figures" / "component-2.png").exists(), "the figures are made anew"


def test_a_network_without_vectors_says_so(compose, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    train(compose(*QUICK, "model=bias"), folder)
    story, page = explore(str(folder))
    assert story.notes == [
        "bias keeps no item vectors wider than a bias: no components to show",
        "the run kept no curves (logger=none)",
    ]
    assert "no item vectors" in page.read_text()
    assert not list(folder.glob("figures/projector*"))
    names = {picture.name for picture in story.pictures}
    assert names == {name for name in FIGURES if name.startswith(("bias", "pred", "cal", "err"))}
    assert "The biases are the network's." in story.pictures[0].told


def test_a_folder_that_cannot_be_written_to_is_told(film_run: Path) -> None:
    (film_run / "explore.html").mkdir()
    with pytest.raises(RunError, match="one: cannot be written to"):
        explore(str(film_run), components=1)
    assert not list(film_run.glob(".*explore*")) + list(film_run.glob(".figures*"))


@pytest.mark.parametrize(
    ("choices", "told"),
    [
        ({"top": 0}, "top=0: should be a whole number above 0"),
        ({"components": "two"}, "components=two: should be"),
        ({"axes": "12"}, r"map=\['1', '2'\]: should be two components"),
        ({"axes": [1]}, r"map=\[1\]: should be two components"),
        ({"axes": [2, 2]}, "should be two components"),
        ({"checkpoint": "worst"}, "checkpoint=worst: choose best or last"),
    ],
)
def test_mistakes_are_refused_before_anything_is_read(choices: dict, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        explore("nowhere", **choices)


def test_runs_that_did_not_finish_are_refused(tmp_path: Path) -> None:
    (tmp_path / ".hydra").mkdir()
    with pytest.raises(RunError, match="has not finished"):
        explore(str(tmp_path))
    (tmp_path / "failed.json").write_text('{"error": "TrainingError: no"}')
    with pytest.raises(RunError, match=r"failed \(TrainingError: no"):
        explore(str(tmp_path))
    with pytest.raises(RunError, match="no such folder"):
        explore(str(tmp_path / "none"))


def test_vectors_and_sentences_are_those_of_the_films(film_run: Path) -> None:
    opened = load_run(str(film_run))
    story = tell(opened, 1000, 2, (1, 2))
    weight = opened.trained.network.item_embedding.weight.detach().numpy()
    for vector, title in zip(story.vectors, story.items["title"], strict=True):
        (row,) = np.flatnonzero(opened.dataset.item_table["title"] == title)
        assert vector == pytest.approx(weight[row])
    told = {picture.name: picture.told for picture in story.pictures}
    result = json.loads((film_run / "result.json").read_text())
    assert f"lowest, {result['objective']['value']:.4f}" in told["curves"]
    best = story.correlations.loc[story.correlations["r"].abs().idxmax()]
    assert f"component {best['component']} with {best['property']}, {best['r']:+.2f}" in told["correlations"]


def test_labels_neither_cross_nor_leave_the_axes() -> None:
    axes = Figure(figsize=(6, 5), dpi=130, layout="constrained").subplots()
    points = np.random.default_rng(1).normal(size=(300, 2))
    axes.scatter(*points.T)
    labels = [f"A Item With a Name {k}" for k in range(300)]
    named = label_points(axes, points, labels, 40)
    assert named[0] == 0, "the first has room"
    assert 10 < len(named) <= 40
    boxes = [text.get_window_extent() for text in axes.texts]
    assert [text.get_text() for text in axes.texts] == [labels[index] for index in named]
    frame = axes.get_window_extent()
    for k, box in enumerate(boxes):
        assert frame.x0 <= box.x0 < box.x1 <= frame.x1
        assert frame.y0 <= box.y0 < box.y1 <= frame.y1
        assert not any(box.overlaps(other) for other in boxes[:k])


def test_bars_show_both_ends() -> None:
    values = pd.Series(np.arange(40.0) - 20, [f"Item $ {k} $" for k in range(40)])
    (axes,) = plot_extremes(values, "score", "title", 3).axes
    shown = [label.get_text() for label in axes.get_yticklabels()]
    assert shown == [f"Item $ {k} $" for k in (39, 38, 37, 2, 1, 0)]
    assert len(plot_extremes(values[:4], "score", "title", 3).axes[0].patches) == 4


def test_the_projector_reads_any_title(tmp_path: Path) -> None:
    items = pd.DataFrame(
        {
            "title": ['The "Best"\tof $ (1999)', "Léon"],
            "genres": ["Drama|War", ""],
            "year": pd.array([1999, None], "Int32"),
            "ratings": [3, 2],
        }
    )
    _write_projector(Story(items, np.ones((2, 3))), tmp_path)
    lines = (tmp_path / "items.tsv").read_text(encoding="utf-8").splitlines()
    assert lines[1:] == ['The "Best" of $ (1999)\tDrama|War\t1999\t3', "Léon\t\t\t2"]
    assert (tmp_path / "vectors.tsv").read_text() == "1\t1\t1\n1\t1\t1\n"


@pytest.mark.parametrize(
    ("title", "cut"),
    [
        ("Brazil (1985)", "Brazil (1985)"),
        ("Dr. Strangelove or: How I Learned to Stop Worrying (1963)", "Dr. Strangelove or… (1963)"),
        ("A title without any year, longer than that", "A title without any year…"),
    ],
)
def test_long_titles_keep_their_year(title: str, cut: str) -> None:
    assert short(title, 27) == cut
