"""Sections of the report: figures with captions computed from the same numbers."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import NDArray

from recsys.analysis.biases import DisplayedBiases
from recsys.analysis.components import SIGNIFICANT, Components, strongest
from recsys.analysis.errors import calibration, errors_by, predictions_by_rating
from recsys.analysis.figures.components import plot_correlations, plot_extremes, plot_map
from recsys.analysis.figures.cross_table import cross_table, plot_cross_table
from recsys.analysis.figures.ratings import plot_calibration, plot_curves, plot_errors, plot_predictions
from recsys.analysis.text import describe_correlations, describe_partial_correlations
from recsys.data.dataset import Dataset

NOT_GENRES = ("mean rating", "popularity", "year")


@dataclass(frozen=True, eq=False)
class ReportFigure:
    """A figure of the report.

    Attributes:
        name: name of its files and of its TensorBoard tag.
        section: heading under which it is shown.
        caption: one or more sentences.
        figure: the figure.
    """

    name: str
    section: str
    caption: str
    figure: Figure


def component_figures(
    items: pd.DataFrame,
    found: Components,
    r2: NDArray,
    correlations: pd.DataFrame,
    control: str,
    axes: Sequence[int],
) -> list[ReportFigure]:
    """Show the correlations, each component and, if both axes were computed, the map.

    Args:
        items: from `most_rated`.
        found: their components.
        r2: share of each component's variance explained by all properties, from `adjusted_r2`.
        correlations: from `correlate`.
        control: the property that their partial correlations control for.
        axes: the horizontal and the vertical component of the map.
    """
    section = "Principal components of the item vectors"
    meaning = {
        component: describe_correlations(strongest(correlations, component))
        for component in range(1, len(found.variance_ratio) + 1)
    }
    averaged = f" in each of {found.networks} networks" if found.networks > 1 else ""
    figures = []
    if len(correlations):
        best = correlations.iloc[int(correlations["r"].abs().argmax())]
        caption = (
            f"{(correlations['p'] < SIGNIFICANT).sum()} of {len(correlations)} correlations are significant "
            f"(p < {SIGNIFICANT}, adjusted with Holm's procedure). The strongest is component "
            f"{best['component']} with {best['property']}, {best['r']:+.2f}."
        )
        heading = [f"{k}\n{share:.0%}" for k, share in zip(meaning, found.variance_ratio, strict=True)]
        plot = plot_correlations(correlations, heading)
        figures.append(ReportFigure("correlations", section, caption, plot))
    for component, share, explained in zip(meaning, found.variance_ratio, r2, strict=True):
        caption = (
            f"Component {component} explains {share:.0%} of the variance of {found.dim} dimensions{averaged} (an "
            f"equal share would be {1 / (found.dim * found.networks):.1%}). Strongest correlations: "
            f"{meaning[component]}."
        )
        if np.isfinite(explained):
            caption += f" All known properties of the items together explain {max(explained, 0):.0%} of its variance."
        genres = strongest(correlations[~correlations["property"].isin(NOT_GENRES)], component, 2)
        if len(genres):
            caption += f" Controlling for {control}, {describe_partial_correlations(genres)}."
        values = found.scores[component].set_axis(items["title"])
        plot = plot_extremes(values, "score", f"Component {component}: {meaning[component]}")
        figures.append(ReportFigure(f"component-{component}", section, caption, plot))
    x, y = axes
    if x in meaning and y in meaning:
        labels = [f"component {axis}: {meaning[axis]}" for axis in axes]
        plot = plot_map(found.scores[x], found.scores[y], items["title"].tolist(), labels)
        caption = f"Horizontal axis: component {x}, {meaning[x]}. Vertical axis: component {y}, {meaning[y]}."
        figures.append(ReportFigure(f"map-{x}-{y}", section, caption, plot))
    return figures


def bias_figures(biases: DisplayedBiases, items: pd.Series, users: pd.Series) -> list[ReportFigure]:
    """Show the items and the users with the highest and the lowest biases.

    Args:
        biases: the biases.
        items: titles of the most-rated items, indexed by item index.
        users: names of the users with training ratings, indexed by user index.
    """
    figures = []
    for kind, title, values in (
        ("items", "Biases of the most-rated items", pd.Series(biases.items[items.index], items)),
        ("users", "Biases of the users", pd.Series(biases.users[users.index], users)),
    ):
        caption = (
            f"{values.idxmax()} has the highest bias ({values.max():+.2f}), {values.idxmin()} the lowest "
            f"({values.min():+.2f}). The standard deviation over {len(values):,} {kind} is "
            f"{values.std():.2f}. Source of the biases: {biases.source}."
        )
        plot = plot_extremes(values, "bias in rating points", f"{title}: highest and lowest")
        figures.append(ReportFigure(f"bias-{kind}", "User and item biases", caption, plot))
    return figures


def curve_figures(curves: dict[str, pd.Series], best: float, best_epoch: int, ran: int) -> list[ReportFigure]:
    """Show the learning curves.

    Args:
        curves: from `epochs`; "train/loss" only if it is a squared error.
        best: validation RMSE of the best checkpoint.
        best_epoch: number of epochs after which it was saved.
        ran: number of epochs of the run.
    """
    caption = f"The weights after epoch {best_epoch} of {ran} were selected. Their val RMSE is {best:.4f}."
    if "train/loss" in curves:
        caption += f" The train RMSE of the last epoch was {curves['train/loss'].iloc[-1] ** 0.5:.4f}."
    if "learning rate" in curves:
        rate = curves["learning rate"]
        caption += f" The learning rate was between {rate.min():.2g} and {rate.max():.2g}."
    return [ReportFigure("curves", "Training", caption, plot_curves(curves, best_epoch))]


def error_figures(predictions: pd.DataFrame, scale: tuple[float, float]) -> list[ReportFigure]:
    """Show predictions by true rating, their calibration, and errors by activity and popularity.

    Args:
        predictions: from `predict_test_set`.
        scale: lowest and highest possible rating.
    """
    section = "Prediction errors on the test set"
    by_rating = predictions_by_rating(predictions)
    low, high = by_rating.index[0], by_rating.index[-1]
    caption = (
        f"The median prediction is {by_rating.loc[low, 0.5]:.2f} for ratings of {low:g} and "
        f"{by_rating.loc[high, 0.5]:.2f} for ratings of {high:g}. The standard deviation is "
        f"{predictions['predicted'].std():.2f} for predictions and {predictions['true'].std():.2f} for "
        "ratings. Predictions vary less, because uncertain ratings are predicted close to the mean."
    )
    plot = plot_predictions(by_rating, scale)
    figures = [ReportFigure("predictions", section, caption, plot)]

    bins = calibration(predictions, scale)
    gap = np.average((bins["true"] - bins["predicted"]).abs(), weights=bins["count"])
    slope = (
        np.polyfit(predictions["predicted"], predictions["true"], 1)[0]
        if predictions["predicted"].nunique() > 1
        else np.nan
    )
    caption = (
        f"The mean true rating of a bin differs from its mean prediction by {gap:.3f} points on average. "
        f"The regression slope of true on predicted ratings is {slope:.2f} (1 is ideal)."
    )
    figures.append(ReportFigure("calibration", section, caption, plot_calibration(bins, scale)))

    for column, side in (("activity", "user"), ("popularity", "item")):
        table = errors_by(predictions, column)
        first, last = table.iloc[0], table.iloc[-1]
        caption = (
            f"Test RMSE is {first['rmse']:.3f} for {side}s with at most {first['high']:,.0f} training "
            f"ratings and {last['rmse']:.3f} for {side}s with at least {last['low']:,.0f}. The network "
            f"beats the user + item bias in {(table['rmse'] < table['baseline']).sum()} of {len(table)} bins."
        )
        figures.append(ReportFigure(f"errors-by-{column}", section, caption, plot_errors(table, side)))
    return figures


def data_figures(dataset: Dataset) -> list[ReportFigure]:
    """Show the ratings, or the numbers of interactions, of the most active users for the most frequent items.

    Args:
        dataset: all rows, those of the test set included.
    """
    values, users, items = cross_table(dataset)
    density = len(dataset) / (len(dataset.user_ids) * len(dataset.item_ids))
    verb, kind = ("rated", "most-rated") if dataset.has_ratings else ("interacted with", "most frequent")
    caption = (
        f"The {len(users)} most active users have {verb} {np.isfinite(values).mean():.0%} of the {len(items)} "
        f"{kind} items. Over all users and items it is {density:.2%}."
    )
    section = "Ratings" if dataset.has_ratings else "Interactions"
    return [ReportFigure("cross-table", section, caption, plot_cross_table(dataset))]
