from pathlib import Path
from typing import Any

import pytest
from support.run_records import write_folds, write_ranking_run, write_run

from recsys.leaderboard.board import Board
from recsys.leaderboard.figures import (
    MAX_CURVES,
    MAX_KEYS,
    MAX_LABELS,
    MAX_LINES,
    plot_all,
    plot_categories,
    plot_cost,
    plot_ordered,
    plot_parallel_coordinates,
    plot_repeats,
)
from recsys.leaderboard.plotting import fitting_labels, label_positions, pareto_front, plain
from recsys.leaderboard.ranking import rank
from recsys.leaderboard.runs import read_runs


def board_of(folder: Path) -> Board:
    return Board(rank(read_runs(folder)))


def write_grid(folder: Path) -> None:
    """Write runs of three embedding sizes by two shapes; val/rmse is 0.90 to 0.95 in the order of writing."""
    for job, (dim, hidden) in enumerate([(d, h) for d in (128, 8, 16) for h in ("[64,64]", "[100]")]):
        overrides = [f"model.embedding_dim={dim}", f"model.hidden={hidden}"]
        write_run(folder / str(job), overrides, 0.9 + job / 100, parameters=dim)


def test_each_sweep_has_the_charts_that_fit_it(tmp_path: Path) -> None:
    write_grid(tmp_path / "grid")
    write_folds(tmp_path / "folds")
    for job in (0, 1):
        write_run(tmp_path / "seeds" / str(job), [f"seed={job}"], 0.9)
        write_run(tmp_path / "models" / str(job), [f"model=net{job}"], 0.9, parameters=job)
    write_run(tmp_path / "single" / "0", [], 0.9)
    sweeps = ("grid", "folds", "seeds", "models", "single")
    titles = {sweep: [chart.title for chart in plot_all(board_of(tmp_path / sweep))] for sweep in sweeps}
    assert titles == {
        "grid": [
            "val/rmse against embedding_dim, by hidden",
            "val/rmse against hidden, by embedding_dim",
            "val/rmse against parameters",
            "Parallel coordinates",
        ],
        "folds": ["val/rmse against embedding_dim", "val/rmse of each run, by split.fold"],
        "seeds": ["val/rmse of each run, by seed"],
        "models": ["val/rmse by model", "val/rmse against parameters"],
        "single": [],
    }


def test_many_varied_keys_have_a_limited_number_of_charts(tmp_path: Path) -> None:
    for job in range(2):
        write_run(tmp_path / str(job), [f"model.k{key}={job}" for key in range(MAX_KEYS + 5)], 0.9 + job)
    *charts, last = plot_all(board_of(tmp_path))
    assert [chart.title for chart in charts] == [f"val/rmse against k{key}" for key in range(MAX_KEYS)]
    assert f"only the first {MAX_KEYS} of {MAX_KEYS + 5} varied keys are shown" in last.note
    assert len(last.figure.data[0].x) == MAX_KEYS + 1


def test_a_curve_is_sorted_by_value(tmp_path: Path) -> None:
    write_grid(tmp_path)
    figure = plot_ordered(board_of(tmp_path), "model.embedding_dim").figure
    first, second, best = figure.data
    assert (first.name, first.x, first.y) == (
        "hidden=[64,64]",
        (8, 16, 128),
        pytest.approx((0.92, 0.94, 0.9)),
    )
    assert (second.name, second.x) == ("hidden=[100]", (8, 16, 128))
    assert (best.name, best.x, best.y) == ("best: 0.9000", (128,), (0.9,))
    assert (figure.layout.xaxis.type, figure.layout.xaxis.ticktext) == ("log", ("8", "16", "128"))


def test_lists_of_widths_are_sorted_by_size(tmp_path: Path) -> None:
    write_grid(tmp_path)
    axis = plot_ordered(board_of(tmp_path), "model.hidden").figure.layout.xaxis
    assert axis.ticktext == ("[100]", "[64,64]")


def test_many_combinations_are_points_and_not_curves(tmp_path: Path) -> None:
    for job in range(MAX_CURVES + 1):
        write_run(tmp_path / str(job), [f"optimizer.lr=0.{job + 1}", f"model.dropouts=0.{9 - job}"], 0.9)
    points, _ = plot_ordered(board_of(tmp_path), "optimizer.lr").figure.data
    assert points.mode == "markers"
    assert len(points.x) == MAX_CURVES + 1


def test_error_bars_exist_only_for_several_runs(tmp_path: Path) -> None:
    write_grid(tmp_path / "grid")
    write_folds(tmp_path / "folds")
    chart = plot_ordered(board_of(tmp_path / "grid"), "model.embedding_dim")
    assert [trace.error_y.array for trace in chart.figure.data] == [None, None, None]
    assert chart.note == ""
    chart = plot_ordered(board_of(tmp_path / "folds"), "model.embedding_dim")
    # Folds 0.90, 0.92, 0.94; 0.91, 0.94, 0.97; 0.93, 0.96.
    assert chart.figure.data[0].error_y.array == pytest.approx((0.02, 0.03, 0.03 / 2**0.5))
    assert chart.note == "Error bars: one standard deviation over the runs."


def test_bars_start_at_the_best_configuration_and_others_are_points(tmp_path: Path) -> None:
    values = {("sgd", 1): 0.95, ("adam", 1): 0.90, ("adam", 2): 0.91, ("sgd", 2): 0.93}
    for (optimizer, lr), value in values.items():
        write_run(tmp_path / f"{optimizer}{lr}", [f"optimizer={optimizer}", f"optimizer.lr={lr}"], value)
    figure = plot_categories(board_of(tmp_path), "optimizer").figure
    bars, others = figure.data
    assert bars.x == pytest.approx((0, 0.03))
    assert (others.x, others.y) == (pytest.approx((0.01, 0.05)), (0, 1))
    assert figure.layout.yaxis.ticktext == ("adam  <b>0.9000</b>", "sgd  <b>0.9300</b>")
    assert figure.layout.xaxis.title.text == "above the best"


def test_bars_of_ndcg_are_longer_where_it_is_lower(tmp_path: Path) -> None:
    for optimizer, ndcg in (("adam", 0.2), ("sgd", 0.3)):
        write_ranking_run(tmp_path / optimizer, [f"optimizer={optimizer}"], ndcg)
    figure = plot_categories(board_of(tmp_path), "optimizer").figure
    assert figure.data[0].x == pytest.approx((0, 0.1))
    assert figure.layout.yaxis.ticktext == ("sgd  <b>0.3000</b>", "adam  <b>0.2000</b>")
    assert figure.layout.xaxis.title.text == "below the best"


def test_runs_of_one_configuration_have_their_mean_and_deviation(tmp_path: Path) -> None:
    for seed, value in ((10, 0.90), (2, 0.92), (1, 0.94)):
        write_run(tmp_path / str(seed), [f"seed={seed}"], value)
    chart = plot_repeats(board_of(tmp_path))
    (points,) = chart.figure.data
    assert chart.figure.layout.xaxis.ticktext == ("1", "2", "10")
    assert points.y == (0.94, 0.92, 0.90)
    line, band = chart.figure.layout.shapes
    assert (line.y0, line.y1) == pytest.approx((0.92, 0.92))
    assert (band.y0, band.y1) == pytest.approx((0.90, 0.94))
    assert chart.note == "Mean 0.9200 (dashed), standard deviation 0.0200 (band)."


def test_runs_of_several_configurations_are_curves_over_the_folds(tmp_path: Path) -> None:
    write_folds(tmp_path)
    figure = plot_repeats(board_of(tmp_path)).figure
    curves = {curve.name: (curve.x, curve.y) for curve in figure.data}
    assert curves == {
        "embedding_dim=4": ((0, 1, 2), (0.90, 0.92, 0.94)),
        "embedding_dim=8": ((0, 1, 2), (0.91, 0.94, 0.97)),
        "embedding_dim=16": ((0, 1), (0.93, 0.96)),
    }


def test_the_pareto_front_of_points() -> None:
    points = [(1.0, 5.0), (2.0, 3.0), (2.0, 4.0), (3.0, 3.0), (4.0, 1.0), (5.0, 2.0)]
    assert pareto_front(points) == [(1.0, 5.0), (2.0, 3.0), (4.0, 1.0)]


def test_the_pareto_front_of_ndcg_has_the_highest_values(tmp_path: Path) -> None:
    for job, ndcg in enumerate((0.1, 0.32, 0.2)):  # all have the same cost
        write_ranking_run(tmp_path / str(job), [f"model.embedding_dim={job + 1}"], ndcg)
    board = board_of(tmp_path)
    figure = plot_cost(board, "parameters").figure
    assert figure.layout.yaxis.title.text == "val/ndcg@10 (higher is better)"
    assert (figure.data[0].name, figure.data[0].y) == ("Pareto front", (0.32,))


def test_points_on_the_pareto_front_have_labels(tmp_path: Path) -> None:
    write_grid(tmp_path)
    figure = plot_cost(board_of(tmp_path), "parameters").figure
    assert figure.data[0].x == (8, 128)
    labels = dict(zip(figure.data[1].text, zip(figure.data[1].x, figure.data[1].y, strict=True), strict=True))
    assert labels["128, [64,64]"] == (128, 0.90)
    assert labels["8, [64,64]"] == (8, pytest.approx(0.92))


def test_of_many_points_only_the_pareto_front_has_labels(tmp_path: Path) -> None:
    for job in range(MAX_LABELS + 1):
        overrides = [f"optimizer.lr=0.{job + 100}"]
        write_run(tmp_path / str(job), overrides, 0.9 + job / 100, parameters=100 + 10 * job)
    figure = plot_cost(board_of(tmp_path), "parameters").figure
    assert [text for text in figure.data[1].text if text] == ["0.100"], (
        "the first is the cheapest and the best"
    )


def test_labels_that_would_overlap_an_earlier_one_are_left_out() -> None:
    texts = ["", "first", "close", "far", "above"]
    labels = fitting_labels(texts, [0, 0, 0.01, 0.9, 0], [0, 0, 0.01, 0, 0.5])
    assert labels == ["", "first", "", "far", "above"]


def test_labels_of_points_at_an_edge_are_inside_the_figure() -> None:
    labels = ["64, [128,64]", "a", "64, [128,64]", ""]
    positions = label_positions(labels, [0, 0.5, 0.99, 1], "top")
    assert positions == ["top right", "top center", "top left", "top center"]


def test_parallel_coordinates_pass_through_choices_in_order(tmp_path: Path) -> None:
    write_grid(tmp_path)
    chart = plot_parallel_coordinates(board_of(tmp_path))
    best: Any = chart.figure.data[-1]
    assert best.y == (1.0, 1.0, 0.0), "the largest size, the longer list, the lowest error"
    labels = [(label.x, label.y, label.text) for label in chart.figure.layout.annotations]
    assert labels[:5] == [(0, 0, "8"), (0, 0.5, "16"), (0, 1, "128"), (1, 0, "[100]"), (1, 1, "[64,64]")]
    assert labels[5:] == [(2, 0, "0.9000"), (2, 1, "0.9500")]


def test_a_large_search_shows_its_best_configurations(tmp_path: Path) -> None:
    for job in range(MAX_LINES + 1):
        write_run(
            tmp_path / str(job),
            [f"optimizer.lr=0.{job + 100}", f"l2.vectors=0.{job + 100}"],
            0.5 + job / 1000,
        )
    chart = plot_parallel_coordinates(board_of(tmp_path))
    assert len(chart.figure.data) == MAX_LINES
    assert chart.note.endswith("Only the best 100 configurations are shown.")
    assert [label.text for label in chart.figure.layout.annotations] == [
        *("0.100", "0.200"),  # many numbers: only the ends of the axis have labels
        *("0.100", "0.200"),
        *("0.5000", "0.5990"),
    ]


def test_texts_are_escaped_for_plotly() -> None:
    assert plain("<b>&lt;\x1b") == "&lt;b&gt;&amp;lt;\\x1b"
