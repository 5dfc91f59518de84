import dataclasses
import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from support.finished import finished_run
from support.tiny import QUICK

from recsys.analysis.items import most_rated, properties
from recsys.analysis.publish import publish
from recsys.analysis.report import build_report
from recsys.analysis.sections import data_figures
from recsys.analysis.text import (
    describe_correlations,
    describe_partial_correlations,
    format_p_value,
    join_words,
)
from recsys.data.dataset import Dataset
from recsys.runs.load import load_run
from recsys.runs.ratings import load_ratings


@pytest.mark.slow
def test_vectors_and_captions_belong_to_the_items(run_folder: Path) -> None:
    run = load_run(str(run_folder))
    report = build_report(run, load_ratings(run), 1000, 2, (1, 2))
    learned = run.checkpoint.scorer.vectors("item").numpy()
    for vector, title in zip(report.vectors, report.items["title"], strict=True):
        (index,) = np.flatnonzero(run.data.item_table["title"] == title)
        assert vector == pytest.approx(learned[index])
    captions = {figure.name: figure.caption for figure in report.figures}
    result = json.loads((run_folder / "result.json").read_text())
    assert f"Their val RMSE is {result['objective']['value']:.4f}." in captions["curves"]
    assert "train RMSE of the last epoch" in captions["curves"]
    best = report.correlations.loc[report.correlations["r"].abs().idxmax()]
    assert (
        f"component {best['component']} with {best['property']}, {best['r']:+.2f}" in captions["correlations"]
    )


@pytest.mark.slow
def test_the_width_of_vectors_is_that_of_one_network(tmp_path: Path) -> None:
    averaged = ["snapshots=2", "schedule.cycle_epochs=1", "model.embedding_dim=8"]
    run = load_run(str(finished_run(tmp_path / "run", [*QUICK, *averaged])))
    report = build_report(run, load_ratings(run), 1000, 2, (1, 2))
    assert report.vectors.shape == (50, 16)
    (caption,) = (figure.caption for figure in report.figures if figure.name == "component-1")
    assert "of the variance of 8 dimensions in each of 2 networks (an equal share would be 6.2%)" in caption


def test_the_cross_table_is_part_of_the_report(dataset: Dataset) -> None:
    """60 users and 60 items with 1 to 60 ratings: the 15 most active users have rated the 46 to 60 most-rated items."""
    (figure,) = data_figures(dataset)
    assert figure.name == "cross-table"
    assert "The 15 most active users have rated 100% of the 15 most-rated items." in figure.caption
    assert "Over all users and items it is 50.83%." in figure.caption


def test_data_without_ratings_is_described_by_interactions(dataset: Dataset) -> None:
    clicks = dataclasses.replace(dataset, has_ratings=False, ratings=np.full(len(dataset), 3.0, np.float32))
    (figure,) = data_figures(clicks)
    assert figure.section == "Interactions"
    assert "have interacted with 100% of the 15 most frequent items." in figure.caption
    axes, colours = figure.figure.axes
    assert "interactions of the most active users" in axes.get_title(loc="left")
    assert colours.get_ylabel() == "number of interactions"
    assert axes.images[0].get_clim() == (0, 3)
    known = properties(most_rated(clicks, np.arange(len(clicks)), 60))
    assert list(known)[:2] == ["popularity", "year"], "correlations control for the first one"


@pytest.mark.slow
def test_the_report_of_a_run_on_interactions_does_not_speak_of_ratings(tmp_path: Path) -> None:
    users, items = np.indices((20, 12)).reshape(2, -1)
    kept = (users * items) % 3 < 2
    clicks = pd.DataFrame({"user": users[kept], "item": items[kept]})
    clicks.to_csv(tmp_path / "clicks.csv", index=False)
    data = ["data=table", f"data.path={tmp_path / 'clicks.csv'}", "data.rating=null"]
    options = [option for option in QUICK if not option.startswith("data")]
    run = load_run(str(finished_run(tmp_path / "run", [*options, *data])))
    report = build_report(run, load_ratings(run), 1000, 2, (1, 2))
    page = publish(report, run).read_text("utf-8")
    assert report.control == "popularity"
    assert [name for name in {figure.name for figure in report.figures} if "bias" in name] == []
    text = re.sub("<[^>]*>", " ", re.sub("<svg.*?</svg>|<style>.*?</style>", "", page, flags=re.S))
    assert re.findall(r"\S*rating\S*", text) == ["ratings:"], "only the note on what is missing"


def test_correlations_in_words() -> None:
    table = pd.DataFrame(
        {"property": ["Drama", "War"], "r": [0.28, -0.281], "partial": [0.1, -0.1]}, index=[4, 7]
    )
    assert describe_correlations(table) == "Drama (+0.28) and War (-0.28)"
    assert describe_correlations(table[:0]) == "no significant correlation"
    expected = "Drama drops from +0.28 to +0.10 and War rises from -0.28 to -0.10"
    assert describe_partial_correlations(table) == expected
    assert describe_partial_correlations(table[:1].assign(partial=0.281)) == "Drama stays at +0.28"


def test_enumerations_and_p_values() -> None:
    assert [join_words(words) for words in ([], ["a"], ["a", "b"], ["a", "b", "c"])] == [
        *("", "a", "a and b", "a, b and c")
    ]
    assert [format_p_value(p) for p in (0.0123, 0.0)] == ["0.01", "< 1e-300"]
