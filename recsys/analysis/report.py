"""A run in pictures, each with a sentence that says what is seen, computed from the same numbers."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import NDArray

from recsys.analysis.biases import biases_of
from recsys.analysis.components import Components, correlate, explained, principal_components
from recsys.analysis.curves import epochs, read_curves
from recsys.analysis.errors import calibration, errors_by, predict_test, predictions_by_rating
from recsys.analysis.figures.components import plot_correlations, plot_extremes, plot_map
from recsys.analysis.figures.ratings import plot_calibration, plot_curves, plot_errors, plot_predictions
from recsys.analysis.items import most_rated, properties
from recsys.runs.load import LoadedRun

NOT_GENRES = ("mean rating", "popularity", "year")
FEW_FILMS = 10  # below this many items nothing is said of components


@dataclass(frozen=True, eq=False)
class Picture:
    """A figure and what is seen in it.

    Attributes:
        name: of its files and its tag in TensorBoard.
        section: of the page.
        told: a sentence or two.
        figure: the figure.
    """

    name: str
    section: str
    told: str
    figure: Figure


@dataclass(eq=False)
class Story:
    """All that is told of a run.

    Attributes:
        items: the most-rated items, from `most_rated`.
        vectors: theirs, (items, d); None where the network has none.
        correlations: from `correlate`; empty where there are no components.
        pictures: in the order of the page.
        notes: what could not be shown, and why.
    """

    items: pd.DataFrame
    vectors: NDArray[np.float64] | None = None
    correlations: pd.DataFrame = field(default_factory=pd.DataFrame)
    pictures: list[Picture] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def tell(run: LoadedRun, top: int, components: int, axes: Sequence[int]) -> Story:
    """Compute and draw everything.

    Args:
        run: the run.
        top: how many of the most-rated items.
        components: how many principal components, fewer where the vectors have fewer dimensions.
        axes: the two components of the map.
    """
    items = most_rated(run.dataset, run.split.train, top)
    story = Story(items)
    learned = run.trained.network.vectors("item")
    if learned is None:
        story.notes.append(
            f"{run.result['model']['name']} keeps no item vectors wider than a bias: no components to show"
        )
    elif len(items) < FEW_FILMS:
        story.notes.append(f"{len(items)} items are too few for components: at least {FEW_FILMS}")
    else:
        vectors = learned.double().numpy()
        story.vectors = vectors[items.index]
        found = principal_components(vectors, items, components)
        known = properties(items)
        story.correlations = correlate(found.scores, known)
        _tell_components(story, found, explained(found.scores, known), axes)
    _tell_biases(story, run)
    if run.trained.network.rates:
        _tell_curves(story, run)
        _tell_errors(story, run)
    else:
        story.notes.append("the run's scores are no ratings: no curves of RMSE, no calibration, no errors")
    return story


def strongest(correlations: pd.DataFrame, component: int, n: int = 3) -> pd.DataFrame:
    """The correlations of a component that are beyond chance (p < 0.05), the `n` strongest first."""
    own = correlations[(correlations["component"] == component) & (correlations["p"] < 0.05)]
    return own.sort_values("r", key=abs, ascending=False, kind="stable")[:n]


def _tell_components(story: Story, found: Components, together: NDArray, axes: Sequence[int]) -> None:
    items, table, section = story.items, story.correlations, "What the item vectors mean"
    numbers = range(1, len(found.shares) + 1)
    meaning = {number: _meaning(strongest(table, number)) for number in numbers}
    if len(table):
        best = table.iloc[int(table["r"].abs().argmax())]
        told = (
            f"{(table['p'] < 0.05).sum()} of {len(table)} correlations are beyond chance (p < 0.05, held "
            f"against each other by Holm's procedure). The strongest: component {best['component']} with "
            f"{best['property']}, {best['r']:+.2f}."
        )
        heading = [f"{k}\n{share:.0%}" for k, share in zip(numbers, found.shares, strict=True)]
        story.pictures.append(Picture("correlations", section, told, plot_correlations(table, heading)))
    for component, share, all_of_it in zip(numbers, found.shares, together, strict=True):
        told = (
            f"Component {component} holds {share:.0%} of the variance of {found.dim} dimensions (an equal "
            f"share would be {1 / found.dim:.1%}). It goes with {meaning[component]}."
        )
        if np.isfinite(all_of_it):
            told += f" Ratings, year and genres together explain {max(all_of_it, 0):.0%} of it."
        genres = strongest(table[~table["property"].isin(NOT_GENRES)], component, 2)
        if len(genres):
            told += f" Among items of equal mean rating, {_partials(genres)}."
        values = found.scores[component].set_axis(items["title"])
        figure = plot_extremes(values, "score", f"Component {component}: {meaning[component]}")
        story.pictures.append(Picture(f"component-{component}", section, told, figure))
    if max(axes) <= len(numbers):
        across, up = axes
        labels = [f"component {axis}: {meaning[axis]}" for axis in axes]
        figure = plot_map(found.scores[across], found.scores[up], items["title"].tolist(), labels)
        told = f"To the right, {meaning[across]}; upwards, {meaning[up]}."
        story.pictures.append(Picture(f"map-{across}-{up}", section, told, figure))
    else:
        story.notes.append(f"no map of components {axes[0]} and {axes[1]}: there are {len(found.shares)}")


def small(p: float) -> str:
    """A p-value as people read it; far below 1e-300 there are no numbers."""
    return f"{p:.1g}" if p > 0 else "< 1e-300"


def _meaning(correlations: pd.DataFrame) -> str:
    """ "mean rating (+0.85) and year (-0.31)"."""
    lines = correlations.to_dict("records")
    return _listed([f"{line['property']} ({line['r']:+.2f})" for line in lines]) or "nothing measured here"


def _partials(correlations: pd.DataFrame) -> str:
    """ "the +0.29 of Drama is +0.07"."""
    lines = correlations.to_dict("records")
    return _listed(
        [f"the {line['r']:+.2f} of {line['property']} is {line['partial']:+.2f}" for line in lines]
    )


def _listed(words: list[str]) -> str:
    return " and ".join(filter(None, [", ".join(words[:-1]), *words[-1:]]))


def _tell_biases(story: Story, run: LoadedRun) -> None:
    biases, section = biases_of(run), "Who rates high, what is rated high"
    users = np.flatnonzero(run.trained_users.numpy())
    names = [f"user {id}" for id in run.dataset.user_ids.to_ids(users)]
    for kind, title, values in (
        ("items", "The most-rated items", pd.Series(biases.items[story.items.index], story.items["title"])),
        ("users", "Users", pd.Series(biases.users[users], names)),
    ):
        told = (
            f"{values.idxmax()} stands highest ({values.max():+.2f}), {values.idxmin()} lowest "
            f"({values.min():+.2f}); the standard deviation of all {len(values):,} is {values.std():.2f}. "
            f"The biases are {biases.source}."
        )
        figure = plot_extremes(values, "bias", f"{title}: the highest and the lowest biases")
        story.pictures.append(Picture(f"bias-{kind}", section, told, figure))


def _tell_curves(story: Story, run: LoadedRun) -> None:
    curves = epochs(read_curves(run.folder))
    if not curves:
        story.notes.append("the run kept no curves (logger=none)")
        return
    if run.trained.config["model"].get("head") == "ordinal":
        curves.pop("train/loss", None)  # a likelihood, whose root is no error
    objective, ran = run.result["objective"], run.result["time"]["epochs"]
    told = f"val RMSE was lowest, {objective['value']:.4f}, after epoch {objective['epoch'] + 1} of {ran}"
    if "train/loss" in curves:
        told += f"; while training, it ended at {curves['train/loss'].iloc[-1] ** 0.5:.4f}"
    if "learning rate" in curves:
        rate = curves["learning rate"]
        told += f"; the learning rate went between {rate.min():.2g} and {rate.max():.2g}"
    figure = plot_curves(curves, objective["epoch"] + 1)
    story.pictures.append(Picture("curves", "How it was learned", f"{told}.", figure))


def _tell_errors(story: Story, run: LoadedRun) -> None:
    pairs, scale, section = predict_test(run), run.dataset.scale, "How well it predicts"
    by_rating = predictions_by_rating(pairs)
    low, high = by_rating.index[0], by_rating.index[-1]
    told = (
        f"The median prediction rises from {by_rating.loc[low, 0.5]:.2f} where {low:g} was given to "
        f"{by_rating.loc[high, 0.5]:.2f} where {high:g} was. Predictions have a standard deviation of "
        f"{pairs['predicted'].std():.2f}, ratings of {pairs['true'].std():.2f}: what cannot be foreseen is "
        "predicted as the middle."
    )
    story.pictures.append(Picture("predictions", section, told, plot_predictions(by_rating, scale)))

    bins = calibration(pairs, scale)
    gap = np.average((bins["true"] - bins["predicted"]).abs(), weights=bins["count"])
    slope = (
        np.polyfit(pairs["predicted"], pairs["true"], 1)[0] if pairs["predicted"].nunique() > 1 else np.nan
    )
    told = (
        f"A bin's mean true rating lies {gap:.3f} points from its predictions, on average over the pairs; "
        f"per predicted point, true ratings rise by {slope:.2f} (1 would be perfect)."
    )
    story.pictures.append(Picture("calibration", section, told, plot_calibration(bins, scale)))

    for column, whose in (("activity", "user"), ("popularity", "item")):
        table = errors_by(pairs, column)
        first, last = table.iloc[0], table.iloc[-1]
        told = (
            f"Test RMSE is {first['rmse']:.3f} where the {whose} has at most {first['high']:,.0f} training "
            f"ratings, {last['rmse']:.3f} where at least {last['low']:,.0f}; the network is better than the "
            f"user + item bias in {(table['rmse'] < table['baseline']).sum()} of {len(table)} bins."
        )
        story.pictures.append(Picture(f"errors-by-{column}", section, told, plot_errors(table, whose)))
