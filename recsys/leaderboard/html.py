"""A sweep as one self-contained HTML page: leaderboard, failures, pictures, the command of the best run."""

import html
import io
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, MaxNLocator

from recsys.atomic import atomic_write
from recsys.leaderboard.paired_test import explain
from recsys.leaderboard.table import Line, Run, against_best, best_command, varied_keys
from recsys.tables import shown

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2em auto; max-width: 60em; padding: 0 1em; color: #222 }
table { border-collapse: collapse; width: 100% } td, th { padding: .3em .6em; border-bottom: 1px solid #ddd }
td { text-align: right } th { text-align: right; border-bottom: 2px solid #888 }
tr:nth-child(2) { font-weight: bold }
code { background: #f3f3f3; padding: .2em .4em } svg { max-width: 100%; height: auto }
.failed { color: #a00 } .pruned { color: #777 }
"""

LABEL = {"facecolor": "white", "edgecolor": "none", "pad": 1}  # readable where lines cross it


def write_page(
    path: Path, title: str, lines: list[Line], rows: list[dict[str, Any]], failed: list[Run]
) -> None:
    """Write the page whole: under a temporary name, then renamed.

    Args:
        path: of the page.
        title: its headline.
        lines: ranked configurations, at least one.
        rows: the leaderboard, as `recsys.leaderboard.table` makes it.
        failed: runs without a result.
    """
    head = "".join(f"<th>{html.escape(key)}</th>" for key in rows[0])
    body = "".join(
        f"<tr>{''.join(f'<td>{html.escape(shown(value))}</td>' for value in row.values())}</tr>"
        for row in rows
    )
    tests = "<br>".join(map(html.escape, explain(against_best(lines))))
    told = "".join(
        f'<p class="{run.content["status"]}">job {html.escape(run.name)} {run.content["status"]}: '
        f"{html.escape(run.content['error'])}</p>"
        for run in failed
    )
    figures = [plot_key(lines, key) for key in varied_keys(lines) if _are_numbers(lines, key)]
    pictures = "".join(
        f"<figure>{_svg(figure)}</figure>" for figure in [*figures, plot_cost(lines), *plot_parallel(lines)]
    )
    page = (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{html.escape(title)}</title>'
        f"<style>{STYLE}</style><h1>{html.escape(title)}</h1><table><tr>{head}</tr>{body}</table>"
        f"{tests and f'<p>{tests}</p>'}{told}"
        f"<p>Best by validation: <code>{html.escape(best_command(lines))}</code></p>{pictures}</html>"
    )
    with atomic_write(path) as temporary:
        temporary.write_text(page, encoding="utf-8")


def plot_key(lines: list[Line], key: str) -> Figure:
    """The objective against one varied number; a curve for each choice of the other varied keys."""
    others, metric = [other for other in varied_keys(lines) if other != key], lines[0].objective.name
    curves: dict[str, list[tuple[float, float, float]]] = {}
    for line in lines:
        label = ", ".join(f"{other.split('.')[-1]}={_choice(line, other)}" for other in others)
        point = (float(line.choices[key]), line.mean(metric), line.deviation(metric) or 0.0)
        curves.setdefault(label, []).append(point)
    figure, axes = _axes(key, metric)
    for label, points in sorted(curves.items(), key=lambda curve: (len(curve[0]), curve[0])):
        x, y, deviation = zip(*sorted(points), strict=True)
        axes.errorbar(x, y, deviation, marker="o", capsize=3, label=label)
    values = sorted({float(line.choices[key]) for line in lines})
    if values[0] > 0 and values[-1] / values[0] >= 4:
        axes.set_xscale("log")
    if len(values) <= 12:
        axes.set_xticks(values, [f"{value:g}" for value in values])
        axes.minorticks_off()
    if others:
        axes.legend(frameon=False)
    return figure


def plot_cost(lines: list[Line]) -> Figure:
    """The objective against parameters and against seconds; the line joins what nothing beats in both."""
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    costs = {
        "parameters": [float(line.runs[0].content["model"]["parameters"]) for line in lines],
        "seconds": [
            sum(run.content["time"]["seconds"] for run in line.runs) / len(line.runs) for line in lines
        ],
    }
    metric, mode = lines[0].objective
    values, sign = [line.mean(metric) for line in lines], -1 if mode == "max" else 1
    for axes, (name, cost) in zip(figure.subplots(1, 2, sharey=True), costs.items(), strict=True):
        axes.scatter(cost, values)
        front = pareto_front([(x, sign * y) for x, y in zip(cost, values, strict=True)])
        axes.plot(
            *zip(*((x, sign * y) for x, y in front), strict=True),
            color="tab:orange",
            label="nothing is both cheaper and better",
        )
        axes.set_xlabel(name)
        axes.xaxis.set_major_formatter(EngFormatter(sep=""))
        axes.xaxis.set_major_locator(MaxNLocator(6))
        axes.spines[["top", "right"]].set_visible(False)
    figure.axes[0].set_ylabel(metric)
    figure.axes[0].legend(frameon=False)
    return figure


def pareto_front(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Points (cost, error) that no other point is at most equal to in both, by rising cost."""
    front: list[tuple[float, float]] = []
    for point in sorted(points):
        if not front or point[1] < front[-1][1]:
            front.append(point)
    return front


def plot_parallel(lines: list[Line]) -> list[Figure]:
    """Parallel coordinates of two or more varied keys and the objective; darker is better."""
    keys = varied_keys(lines)
    if len(keys) < 2:
        return []
    figure, axes = _axes("", "")
    metric = lines[0].objective.name
    scores = [line.mean(metric) for line in lines]
    columns = [[_choice(line, key) for line in lines] for key in keys]
    for column, (key, values) in enumerate(zip(keys, columns, strict=True)):
        numbers = _are_numbers(lines, key)
        options = sorted(set(values), key=(lambda value: float(value)) if numbers else None)
        place = {option: index / max(1, len(options) - 1) for index, option in enumerate(options)}
        columns[column] = [place[value] for value in values]  # type: ignore[misc]
        for option, height in place.items():
            axes.text(column - 0.04, height, option, ha="right", va="center", fontsize=8, bbox=LABEL)
    low, high = min(scores), max(scores)
    for index, score in reversed(list(enumerate(scores))):
        path = [*(column[index] for column in columns), (score - low) / ((high - low) or 1)]
        standing = index / max(1, len(scores) - 1)  # lines are ranked
        axes.plot(range(len(path)), path, color=f"{0.85 * standing:.2f}", linewidth=2.5 - 1.5 * standing)
    axes.text(len(keys) + 0.04, 0, f"{low:.4f}", va="center", fontsize=8)
    axes.text(len(keys) + 0.04, 1, f"{high:.4f}", va="center", fontsize=8)
    axes.set_xticks(range(len(keys) + 1), [*(key.split(".")[-1] for key in keys), metric])
    axes.set_yticks([])
    axes.set_xlim(-0.5, len(keys) + 0.4)
    axes.spines[["left", "bottom"]].set_visible(False)
    return [figure]


def _axes(x: str, y: str) -> tuple[Figure, Any]:
    figure = Figure(figsize=(9, 3.8), layout="constrained")
    axes = figure.subplots()
    axes.set(xlabel=x, ylabel=y)
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _choice(line: Line, key: str) -> str:
    return line.choices.get(key, "default").replace("$", r"\$")  # no formula for matplotlib


def _are_numbers(lines: list[Line], key: str) -> bool:
    try:
        return all(float(line.choices[key]) is not None for line in lines)
    except (KeyError, ValueError):
        return False


def _svg(figure: Figure) -> str:
    text = io.StringIO()
    figure.savefig(text, format="svg")
    return text.getvalue()[text.getvalue().index("<svg") :]
