"""Figures of a leaderboard: the objective against each varied number and the costs, and parallel coordinates."""

import math
from collections.abc import Sequence
from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, MaxNLocator

from recsys.leaderboard.names import short_names
from recsys.leaderboard.ranking import Configuration, varied_keys

LABEL_BOX = {"facecolor": "white", "edgecolor": "none", "pad": 1}  # keeps labels readable on top of lines


def plot_all(configurations: Sequence[Configuration]) -> list[Figure]:
    """Return the figures of ranked configurations, of which there must be at least one."""
    keys = varied_keys(configurations)
    figures = [plot_key(configurations, key) for key in keys if _is_numeric(configurations, key)]
    figures.append(plot_cost(configurations))
    if len(keys) >= 2:
        figures.append(plot_parallel_coordinates(configurations))
    return figures


def plot_key(configurations: Sequence[Configuration], key: str) -> Figure:
    """Plot the objective against a varied number, with one curve for each choice of the other varied keys."""
    others = [other for other in varied_keys(configurations) if other != key]
    short, metric = short_names(others), configurations[0].objective.name
    curves: dict[str, list[tuple[float, float, float]]] = {}
    for own in configurations:
        label = ", ".join(f"{_plain(short[other])}={_choice(own, other)}" for other in others)
        point = (float(own.choices[key]), own.mean(metric), own.deviation(metric) or 0.0)
        curves.setdefault(label, []).append(point)
    figure, axes = _axes(_plain(key), metric)
    for label, points in sorted(curves.items(), key=lambda curve: (len(curve[0]), curve[0])):
        x, y, deviation = zip(*sorted(points), strict=True)
        axes.errorbar(x, y, deviation, marker="o", capsize=3, label=label)
    values = sorted({float(own.choices[key]) for own in configurations})
    if values[0] > 0 and values[-1] / values[0] >= 4:
        axes.set_xscale("log")
    if len(values) <= 12:
        axes.set_xticks(values, [f"{value:g}" for value in values])
        axes.minorticks_off()
    if others:
        axes.legend(frameon=False)
    return figure


def plot_cost(configurations: Sequence[Configuration]) -> Figure:
    """Plot the objective against the parameters of one network and the seconds, with their Pareto fronts."""
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    costs = {
        "parameters of one network": [float(own.parameters) for own in configurations],
        "seconds": [own.seconds for own in configurations],
    }
    metric, sign = configurations[0].objective.name, configurations[0].objective.sign
    values = [own.mean(metric) for own in configurations]
    for axes, (name, cost) in zip(figure.subplots(1, 2, sharey=True), costs.items(), strict=True):
        axes.scatter(cost, values)
        front = pareto_front([(x, sign * y) for x, y in zip(cost, values, strict=True)])
        x, y = zip(*front, strict=True)
        axes.plot(x, [sign * value for value in y], color="tab:orange", label="Pareto front")
        axes.set_xlabel(name)
        axes.xaxis.set_major_formatter(EngFormatter(sep=""))
        axes.xaxis.set_major_locator(MaxNLocator(6))
        axes.spines[["top", "right"]].set_visible(False)
    figure.axes[0].set_ylabel(metric)
    figure.axes[0].legend(frameon=False)
    return figure


def pareto_front(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Return the Pareto front of points (cost, error), sorted by cost."""
    front: list[tuple[float, float]] = []
    for point in sorted(points):
        if not front or point[1] < front[-1][1]:
            front.append(point)
    return front


def plot_parallel_coordinates(configurations: Sequence[Configuration]) -> Figure:
    """Plot one line per configuration through its choices and its objective; better lines are darker."""
    keys = varied_keys(configurations)
    figure, axes = _axes("", "")
    metric = configurations[0].objective.name
    scores = [own.mean(metric) for own in configurations]
    columns = []  # per key, the height of each configuration's choice
    for column, key in enumerate(keys):
        choices = [_choice(own, key) for own in configurations]
        options = sorted(set(choices), key=float if _is_numeric(configurations, key) else str)
        heights = {option: index / max(1, len(options) - 1) for index, option in enumerate(options)}
        columns.append([heights[choice] for choice in choices])
        for option, height in heights.items():
            axes.text(column - 0.04, height, option, ha="right", va="center", fontsize=8, bbox=LABEL_BOX)
    low, high = min(scores), max(scores)
    for index, score in reversed(list(enumerate(scores))):  # the best one last, on top
        path = [*(heights[index] for heights in columns), (score - low) / ((high - low) or 1)]
        rank = index / max(1, len(scores) - 1)  # 0 for the best configuration, 1 for the last
        axes.plot(range(len(path)), path, color=f"{0.85 * rank:.2f}", linewidth=2.5 - 1.5 * rank)
    axes.text(len(keys) + 0.04, 0, f"{low:.4f}", va="center", fontsize=8)
    axes.text(len(keys) + 0.04, 1, f"{high:.4f}", va="center", fontsize=8)
    axes.set_xticks(range(len(keys) + 1), [*map(_plain, short_names(keys).values()), metric])
    axes.set_yticks([])
    axes.set_xlim(-0.5, len(keys) + 0.4)
    axes.spines[["left", "bottom"]].set_visible(False)
    return figure


def _axes(x: str, y: str) -> tuple[Figure, Any]:
    figure = Figure(figsize=(9, 3.8), layout="constrained")
    axes = figure.subplots()
    axes.set(xlabel=x, ylabel=y)
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _choice(configuration: Configuration, key: str) -> str:
    return _plain(configuration.choices.get(key, "default"))


def _plain(text: str) -> str:
    """Return text that matplotlib does not read as a formula."""
    return text.replace("$", r"\$")


def _is_numeric(configurations: Sequence[Configuration], key: str) -> bool:
    """Return whether every configuration has a finite number for this key."""
    try:
        for own in configurations:
            if not math.isfinite(float(own.choices[key])):
                return False
    except (KeyError, ValueError):
        return False
    return True
