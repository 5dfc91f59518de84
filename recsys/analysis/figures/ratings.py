"""Figures of training and predictions: learning curves, predictions by rating, calibration, errors."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from recsys.analysis.figures.style import BLUE, GREY, LIGHT, ORANGE, new_figure, styled


@styled
def plot_curves(curves: dict[str, pd.Series], best: int | None = None) -> Figure:
    """Draw training and validation RMSE over epochs and, in a second panel, the learning rate.

    Args:
        curves: from `recsys.analysis.curves.epochs`; "train/loss" must be a squared error.
        best: number of epochs after which the best checkpoint was saved.
    """
    rate = curves.get("learning rate")
    figure = new_figure(8, 5)
    heights = [3] if rate is None else [3, 1]
    panels = figure.subplots(len(heights), 1, sharex=True, squeeze=False, height_ratios=heights)[:, 0]
    upper, lower = panels[0], panels[-1]
    if "train/loss" in curves:
        train = np.sqrt(curves["train/loss"])
        upper.plot(train.index, train, color=GREY, label="train RMSE (during the epoch, with dropout)")
    val = curves["val/rmse"]
    upper.plot(val.index, val, color=BLUE, label="val RMSE")
    if best is not None:
        nearest = int(np.abs(val.index - best).argmin())
        x, y = val.index[nearest], val.iloc[nearest]
        upper.plot(x, y, "o", color=ORANGE, label=f"best checkpoint: {y:.4f}")
    upper.set_ylabel("RMSE")
    upper.legend()
    if rate is not None:
        lower.plot(rate.index, rate, color=BLUE, linewidth=1)
        lower.set(ylabel="learning rate", ylim=(0, None))
    lower.set_xlabel("epoch")
    lower.xaxis.set_major_locator(MaxNLocator(integer=True))
    return figure


@styled
def plot_predictions(table: pd.DataFrame, scale: tuple[float, float]) -> Figure:
    """Draw a box plot of the predictions for each true rating.

    Args:
        table: from `predictions_by_rating`.
        scale: lowest and highest possible rating.
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
    axes.set(
        xlabel="true rating (second line: number of test ratings)",
        ylabel="predicted rating",
        ylim=(scale[0] - 0.1, scale[1] + 0.1),
    )
    axes.set_title("Boxes: 25th to 75th percentile; whiskers: 5th to 95th percentile")
    axes.legend(loc="upper left")
    return figure


@styled
def plot_calibration(table: pd.DataFrame, scale: tuple[float, float]) -> Figure:
    """Draw the mean true rating over the prediction and, in a second panel, the number of predictions.

    Args:
        table: from `calibration`.
        scale: lowest and highest possible rating.
    """
    figure = new_figure(7, 6)
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
    upper.plot(scale, scale, color=GREY, linestyle=":", label="predicted = true")
    upper.errorbar(
        table["predicted"],
        table["true"],
        table["error"],
        fmt="o",
        color=BLUE,
        capsize=2,
        markersize=4,
        label="mean of a bin, 95 % interval",
    )
    upper.set(ylabel="mean true rating", ylim=(scale[0] - 0.1, scale[1] + 0.1))
    upper.legend(loc="upper left")
    lower.bar(table["predicted"], table["count"], 0.2, color=LIGHT)
    lower.set(xlabel="predicted rating", ylabel="test ratings")
    lower.yaxis.set_major_formatter("{x:,.0f}")
    return figure


@styled
def plot_errors(table: pd.DataFrame, side: str) -> Figure:
    """Draw the RMSE of the network and of the baseline in bins of training ratings.

    Args:
        table: from `errors_by`.
        side: "user" or "item", for the axis label.
    """
    figure = new_figure(7, 4)
    axes = figure.subplots()
    x = np.arange(len(table))
    axes.plot(x, table["baseline"], "s--", color=GREY, markersize=4, label="user + item bias")
    axes.errorbar(
        x, table["rmse"], table["error"], fmt="o-", color=BLUE, capsize=3, label="network, 95 % interval"
    )
    labels = [
        f"{low:,}{'' if low == high else f' to {high:,}'}\n{count:,}"
        for low, high, count in table[["low", "high", "count"]].to_numpy()
    ]
    axes.set_xticks(x, labels)
    axes.set(
        xlabel=f"training ratings of the {side} (second line: number of test ratings)", ylabel="test RMSE"
    )
    axes.margins(x=0.08)
    axes.legend()
    return figure
