"""Figures of a leaderboard, which plotly draws in the browser: one function per chart."""

from typing import NamedTuple

import plotly.graph_objects as go

from recsys.leaderboard.board import Board, Cost
from recsys.leaderboard.plotting import (
    BLUE,
    GRAY,
    ORANGE,
    add_best,
    add_label,
    error_note,
    errors,
    fitting_labels,
    hover,
    label_positions,
    lay_out,
    number_axis,
    objective_axis,
    padded_range,
    pareto_front,
    plain,
    shorten,
    tick_labels,
    value_axis,
)
from recsys.leaderboard.ranking import Configuration
from recsys.leaderboard.values import prefers_log, scaled, sort_key

MAX_CURVES = 8  # the colors of more curves would be too similar
MAX_LABELS = 30  # of more points, only those on the Pareto front have labels
MAX_LINES = 100  # more parallel coordinates hide each other
MAX_KEYS = 20  # varied keys in figures; one figure for each of hundreds takes minutes to draw and to load


class Chart(NamedTuple):
    """A figure with its heading and a note, which is empty if there is nothing to explain."""

    title: str
    note: str
    figure: go.Figure
    is_wide: bool = False


def plot_all(board: Board) -> list[Chart]:
    """Return the charts of a leaderboard; none for a single run."""
    charts = [
        plot_categories(board, key) if board.axis(key).kind == "categories" else plot_ordered(board, key)
        for key in board.keys[:MAX_KEYS]
    ]
    if len(board.runs) > len(board.configurations):
        charts.append(plot_repeats(board))
    costs: list[Cost] = ["parameters", "seconds"]
    charts += [plot_cost(board, name) for name in costs if len(set(board.costs(name))) > 1]
    if len(board.keys) > 1:
        charts.append(plot_parallel_coordinates(board))
    return charts


def plot_ordered(board: Board, key: str) -> Chart:
    """Plot the objective against numbers or lists of numbers, with one curve per choice of the other varied keys."""
    axis, others = board.axis(key), [other for other in board.keys if other != key]
    curves: dict[str, list[Configuration]] = {}
    for own in board.configurations:
        curves.setdefault(board.describe(own, others), []).append(own)
    is_curves = len(curves) <= MAX_CURVES and len(curves) < len(board.configurations)
    figure = go.Figure()
    for label, points in curves.items() if is_curves else [("", board.configurations)]:
        points = sorted(points, key=lambda own: axis.positions[board.choice(own, key)])
        figure.add_scatter(
            x=[axis.positions[board.choice(own, key)] for own in points],
            y=[own.mean(board.metric) for own in points],
            error_y=errors(board, points),
            mode="lines+markers" if is_curves else "markers",
            marker={"size": 8, "opacity": 1 if is_curves else 0.75},
            name=plain(label),
            showlegend=bool(label),
            **hover(map(board.details, points)),
        )
    add_best(figure, board, axis.positions[board.choice(board.best, key)])
    lay_out(figure, value_axis(axis, key), objective_axis(board))
    by = f", by {' and '.join(board.short[other] for other in others)}" if is_curves and others else ""
    return Chart(f"{board.metric} against {board.short[key]}{by}", error_note(board), figure)


def plot_categories(board: Board, key: str) -> Chart:
    """Plot by how much the best configuration with each value is worse than the best of all, in bars from 0."""
    bars: dict[str, Configuration] = {}
    for own in board.configurations:  # ranked, so the first one with a value is the best of them
        bars.setdefault(board.choice(own, key), own)
    rows = {value: row for row, value in enumerate(bars)}
    best = list(bars.values())
    others = [own for own in board.configurations if bars[board.choice(own, key)] is not own]
    figure = go.Figure()
    figure.add_bar(
        x=[board.gap(own) for own in best],
        y=list(rows.values()),
        error_x=errors(board, best, GRAY),
        orientation="h",
        width=0.6,
        marker={"color": BLUE},
        showlegend=False,
        **hover(map(board.details, best)),
    )
    figure.add_scatter(
        x=[board.gap(own) for own in others],
        y=[rows[board.choice(own, key)] for own in others],
        mode="markers",
        marker={"size": 8, "color": ORANGE, "opacity": 0.75},
        showlegend=False,
        **hover(map(board.details, others)),
    )
    side = "above" if board.best.objective.sign > 0 else "below"
    ticks = {
        "tickvals": list(rows.values()),
        "ticktext": [f"{shorten(value)}  <b>{own.mean(board.metric):.4f}</b>" for value, own in bars.items()],
    }
    lay_out(
        figure,
        {"title": f"{side} the best", "zeroline": True, "nticks": 4},
        {"autorange": "reversed", "showgrid": False, **ticks},
        height=100 + 36 * len(bars),
    )
    note = f"Bars: the best configuration with each {board.short[key]}. Points: the others." if others else ""
    return Chart(f"{board.metric} by {board.short[key]}", f"{note} {error_note(board)}".strip(), figure)


def plot_repeats(board: Board) -> Chart:
    """Plot the objective of each run against its seed or fold, with one curve per configuration."""
    shown = board.configurations[:MAX_CURVES]
    draws = sorted(
        {board.draw(run) for own in shown for run in own.runs}, key=lambda draw: [*map(sort_key, draw)]
    )
    positions = {draw: float(index) for index, draw in enumerate(draws)}
    figure = go.Figure()
    for own in shown:
        runs = sorted(own.runs, key=lambda run: positions[board.draw(run)])
        figure.add_scatter(
            x=[positions[board.draw(run)] for run in runs],
            y=[run.content["metrics"][board.metric] for run in runs],
            mode="lines+markers" if len(shown) > 1 else "markers",
            line={"width": 1},
            marker={"size": 9},
            name=plain(board.describe(own, board.keys)),
            showlegend=len(shown) > 1,
            **hover(board.run_details(own, run) for run in runs),
        )
    note = (
        f"Only the best {MAX_CURVES} configurations are shown."
        if len(shown) < len(board.configurations)
        else ""
    )
    deviation = board.best.deviation(board.metric)
    if len(shown) == 1 and deviation is not None:
        mean = board.best.mean(board.metric)
        figure.add_hline(mean, line={"color": ORANGE, "dash": "dash"})
        figure.add_hrect(
            mean - deviation, mean + deviation, fillcolor=ORANGE, opacity=0.12, line_width=0, layer="below"
        )
        note = f"Mean {mean:.4f} (dashed), standard deviation {deviation:.4f} (band)."
    by = ", ".join(board.repeat_keys) or "run"
    labels = tick_labels((", ".join(draw), x) for draw, x in positions.items())
    lay_out(figure, {"title": plain(by), **labels}, objective_axis(board))
    return Chart(f"{board.metric} of each run, by {by}", note, figure)


def plot_cost(board: Board, name: Cost) -> Chart:
    """Plot the objective against a cost, with the Pareto front."""
    sign = board.best.objective.sign
    points = [(cost, own.loss) for cost, own in zip(board.costs(name), board.configurations, strict=True)]
    front = pareto_front(points)
    # Labels of the front first, because labels that overlap an earlier one are left out.
    order = sorted(range(len(points)), key=lambda index: points[index] not in front)
    shown = [board.configurations[index] for index in order]
    labels = [
        board.label(board.configurations[index])
        if points[index] in front or len(points) <= MAX_LABELS
        else ""
        for index in order
    ]
    x, y = [points[index][0] for index in order], [sign * points[index][1] for index in order]
    is_log = prefers_log(x)
    texts = fitting_labels(labels, scaled(x, is_log), scaled(y))
    figure = go.Figure()
    figure.add_scatter(
        x=[cost for cost, _ in front],
        y=[sign * loss for _, loss in front],
        mode="lines",
        line={"color": ORANGE, "shape": "hv"},  # between two points, the cheaper one is the best
        name="Pareto front",
        hoverinfo="skip",
    )
    figure.add_scatter(
        x=x,
        y=y,
        mode="markers+text",
        marker={
            "color": BLUE,
            "size": [14 if own is board.best else 8 for own in shown],
            "opacity": [0 if own is board.best else 1 for own in shown],  # the star of `add_best` is there
            "line_width": 0,
        },
        text=texts,
        # Away from the front.
        textposition=label_positions(texts, scaled(x, is_log), "bottom" if sign > 0 else "top"),
        textfont={"size": 11},
        cliponaxis=False,
        showlegend=False,
        **hover(map(board.details, shown)),
    )
    add_best(figure, board, points[0][0])
    title = "parameters of one network" if name == "parameters" else name
    below = (0.15, 0.06) if sign > 0 else (0.06, 0.15)  # room for the label of the best one
    lay_out(
        figure,
        number_axis(x) | {"title": title, "range": padded_range(x, (0.08, 0.08), is_log)},
        objective_axis(board) | {"range": padded_range(y, below)},
    )
    return Chart(f"{board.metric} against {name}", "", figure)


def plot_parallel_coordinates(board: Board) -> Chart:
    """Plot one line per configuration through its choices and its objective; better lines are stronger."""
    shown = board.configurations[:MAX_LINES]
    axes = {key: board.axis(key) for key in board.keys[:MAX_KEYS]}
    heights = {key: axis.heights() for key, axis in axes.items()}
    scores = [own.mean(board.metric) for own in shown]
    low, high = min(scores), max(scores)
    columns = list(range(len(axes) + 1))
    figure = go.Figure()
    lines = list(enumerate(zip(shown, scores, strict=True)))
    for index, (own, score) in reversed(lines):  # the best one is drawn last, on top
        figure.add_scatter(
            x=columns,
            y=[
                *(heights[key][board.choice(own, key)] for key in axes),
                (score - low) / ((high - low) or 1),
            ],
            mode="lines+markers",
            line={"color": BLUE if index else ORANGE, "width": 2 if index else 3},
            opacity=1 - 0.8 * index / len(shown),
            showlegend=False,
            **hover([board.details(own)] * len(columns)),
        )
    for column, (key, axis) in enumerate(axes.items()):
        ends = {min(heights[key].values()), max(heights[key].values())}
        for value, height in heights[key].items():
            if not axis.is_continuous or height in ends:
                add_label(figure, column, height, shorten(value), "right")
    for score, height in ((low, 0), (high, 1)):
        add_label(figure, columns[-1], height, f"{score:.4f}", "left")
    names = [*(board.short[key] for key in axes), board.metric]
    lay_out(
        figure,
        {
            "range": [-0.02, columns[-1] + 0.02],
            "showgrid": False,
            **tick_labels(zip(names, columns, strict=True)),
        },
        {"visible": False},
    )
    longest = max(map(len, [names[0], *map(shorten, axes[board.keys[0]].positions)]))
    figure.update_layout(margin={"l": 25 + 8 * longest, "r": 60})  # pixels for the outer labels
    note = "Orange: the best configuration."
    if len(shown) < len(board.configurations):
        note += f" Only the best {MAX_LINES} configurations are shown."
    if len(axes) < len(board.keys):
        note += f" Here and above, only the first {MAX_KEYS} of {len(board.keys)} varied keys are shown."
    return Chart("Parallel coordinates", note, figure, is_wide=True)
