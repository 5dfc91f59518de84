"""How a run learned and how well it predicts: curves, predictions against ratings, calibration, errors."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from recsys.analysis.figures.style import BLUE, GREY, LIGHT, ORANGE, new_figure, styled


@styled
def plot_curves(curves: dict[str, pd.Series], best: int | None = None) -> Figure:
    """Training and validation error over epochs and, below, the learning rate.

    Args:
        curves: from `recsys.analysis.curves.epochs`.
        best: the number of epochs after which the best weights were saved.
    """
    rate = curves.get("learning rate")
    figure = new_figure(8, 5)
    heights = [3] if rate is None else [3, 1]
    panels = figure.subplots(len(heights), 1, sharex=True, squeeze=False, height_ratios=heights)[:, 0]
    above, below = panels[0], panels[-1]
    if "train/loss" in curves:
        train = np.sqrt(curves["train/loss"])
        above.plot(train.index, train, color=GREY, label="train RMSE, while training")
    val = curves["val/rmse"]
    above.plot(val.index, val, color=BLUE, label="val RMSE")
    if best is not None:
        near = int(np.abs(val.index - best).argmin())
        x, y = val.index[near], val.iloc[near]
        above.plot(x, y, "o", color=ORANGE, label=f"the best weights: {y:.4f}")
    above.set_ylabel("RMSE")
    above.legend()
    if rate is not None:
        below.plot(rate.index, rate, color=BLUE, linewidth=1)
        below.set(ylabel="learning rate", ylim=(0, None))
    below.set_xlabel("epoch")
    below.xaxis.set_major_locator(MaxNLocator(integer=True))
    return figure


@styled
def plot_predictions(table: pd.DataFrame, scale: tuple[float, float]) -> Figure:
    """Where predictions lie for each true rating.

    Args:
        table: from `predictions_by_rating`.
        scale: the lowest and the highest rating possible.
    """
    figure = new_figure(7, 5)
    axes = figure.subplots()
    width = 0.8 * min(np.diff(table.index), default=1)
    boxes = [
        {"med": row[0.5], "q1": row[0.25], "q3": row[0.75], "whislo": row[0.05], "whishi": row[0.95]}
        for row in table.to_dict("records")
    ]
    axes.plot(scale, scale, color=GREY, linestyle=":", label="predicted = true")
    axes.bxp(
        boxes,
        positions=table.index,
        widths=width,
        showfliers=False,
        patch_artist=True,
        boxprops={"facecolor": "#cfe3f0", "edgecolor": BLUE},
        medianprops={"color": BLUE, "linewidth": 2},
        whiskerprops={"color": BLUE},
        capprops={"color": BLUE},
        manage_ticks=False,
    )
    labels = [f"{rating:g}\n{count:,}" for rating, count in table["count"].items()]
    axes.set_xticks(table.index, labels)
    axes.set(xlabel="true rating, and how many", ylabel="predicted", ylim=(scale[0] - 0.1, scale[1] + 0.1))
    axes.set_title("Half of the predictions lie in a box, nine of ten within its whiskers")
    axes.legend(loc="upper left")
    return figure


@styled
def plot_calibration(table: pd.DataFrame, scale: tuple[float, float]) -> Figure:
    """The mean true rating against the prediction, and how many predictions there are.

    Args:
        table: from `calibration`.
        scale: the lowest and the highest rating possible.
    """
    figure = new_figure(7, 6)
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
    above.plot(scale, scale, color=GREY, linestyle=":", label="predicted = true")
    above.errorbar(
        table["predicted"],
        table["true"],
        table["error"],
        fmt="o",
        color=BLUE,
        capsize=2,
        markersize=4,
        label="mean of a bin, 95 % interval",
    )
    above.set(ylabel="mean true rating", ylim=(scale[0] - 0.1, scale[1] + 0.1))
    above.legend(loc="upper left")
    below.bar(table["predicted"], table["count"], 0.2, color=LIGHT)
    below.set(xlabel="predicted rating", ylabel="test pairs")
    below.yaxis.set_major_formatter("{x:,.0f}")
    return figure


@styled
def plot_errors(table: pd.DataFrame, whose: str) -> Figure:
    """RMSE by bins of training ratings, beside the user + item bias.

    Args:
        table: from `errors_by`.
        whose: the ratings counted, for the axis.
    """
    figure = new_figure(7, 4)
    axes = figure.subplots()
    places = np.arange(len(table))
    axes.plot(places, table["baseline"], "s--", color=GREY, markersize=4, label="user + item bias")
    axes.errorbar(
        places, table["rmse"], table["error"], fmt="o-", color=BLUE, capsize=3, label="network, 95 % interval"
    )
    labels = [
        f"{low:,}{'' if low == high else f' to {high:,}'}\n{count:,}"
        for low, high, count in table[["low", "high", "count"]].to_numpy()
    ]
    axes.set_xticks(places, labels)
    axes.set(xlabel=f"training ratings of the {whose}; below, test pairs", ylabel="test RMSE")
    axes.margins(x=0.08)
    axes.legend()
    return figure
