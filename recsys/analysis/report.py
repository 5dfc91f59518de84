"""Report on a finished run: components of its item vectors, biases, learning curves, test errors."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from recsys.analysis.biases import displayed_biases
from recsys.analysis.components import adjusted_r2, correlate, principal_components
from recsys.analysis.curves import epochs, read_curves, train_loss_is_squared_error
from recsys.analysis.errors import predict_test_set
from recsys.analysis.items import feature_properties, most_rated, properties
from recsys.analysis.sections import (
    ReportFigure,
    bias_figures,
    component_figures,
    curve_figures,
    data_figures,
    error_figures,
)
from recsys.data.dataset import Dataset
from recsys.models.scorer import Scorer
from recsys.runs.load import LoadedRun
from recsys.runs.ratings import RunRatings

MIN_ITEMS = 10  # fewer items do not support any statement about components


@dataclass(eq=False)
class Report:
    """The content of the report.

    Attributes:
        items: the most-rated items, from `most_rated`.
        vectors: their vectors, (items, d); those of averaged networks are side by side. None where the network
            has none.
        correlations: from `correlate`; empty where there are no components.
        control: the property that partial correlations control for.
        figures: in the order of the report.
        notes: what is missing from the report, and why.
    """

    items: pd.DataFrame
    vectors: NDArray[np.float64] | None = None
    correlations: pd.DataFrame = field(default_factory=pd.DataFrame)
    control: str = ""
    figures: list[ReportFigure] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def build_report(
    run: LoadedRun, ratings: RunRatings, top: int, components: int, axes: Sequence[int]
) -> Report:
    """Compute all tables, figures and captions.

    Args:
        run: the run.
        ratings: its ratings and their split.
        top: number of most-rated items.
        components: number of principal components; fewer where the vectors have fewer dimensions.
        axes: the horizontal and the vertical component of the map.
    """
    scorer = run.checkpoint.scorer
    report = Report(most_rated(ratings.dataset, ratings.split.train, top))
    _add_components(report, scorer, run, ratings.dataset, components, axes)
    if ratings.dataset.has_ratings:
        users = np.flatnonzero(run.data.trained_users.numpy())
        names = [f"user {id}" for id in run.checkpoint.user_ids.to_ids(users)]
        biases = displayed_biases(scorer, run)
        report.figures += bias_figures(biases, report.items["title"], pd.Series(names, users))
    if scorer.predicts_ratings:
        _add_curves(report, scorer, run)
        report.figures += error_figures(predict_test_set(scorer, ratings, run.data.biases), scorer.scale)
    else:
        missing = (
            "RMSE curves, calibration or errors" if ratings.dataset.has_ratings else "biases, RMSE or errors"
        )
        report.notes.append(f"the network ranks items and does not predict ratings: no {missing}")
    report.figures += data_figures(ratings.dataset)
    return report


def _add_components(
    report: Report, scorer: Scorer, run: LoadedRun, dataset: Dataset, components: int, axes: Sequence[int]
) -> None:
    items, learned = report.items, scorer.vectors("item")
    if learned is None:
        report.notes.append(f"no components: {run.result['model']['name']} has no item vectors")
        return
    if len(items) < MIN_ITEMS:
        report.notes.append(f"no components: at least {MIN_ITEMS} rated items are needed, not {len(items)}")
        return
    vectors = learned.cpu().double().numpy()
    report.vectors = vectors[items.index]
    known = properties(items)
    report.control = known.columns[0]
    networks = run.checkpoint.model["snapshots"]
    found = principal_components(vectors, known[report.control], components, networks)
    if dataset.item_features is not None:
        known = known.join(feature_properties(dataset.item_features, items))
    report.correlations = correlate(found.scores, known)
    r2 = adjusted_r2(found.scores, known)
    report.figures += component_figures(items, found, r2, report.correlations, report.control, axes)
    if max(axes) > (computed := len(found.variance_ratio)):
        report.notes.append(f"no map of components {axes[0]} and {axes[1]}: only {computed} computed")


def _add_curves(report: Report, scorer: Scorer, run: LoadedRun) -> None:
    curves = epochs(read_curves(run.folder))
    if not curves:
        report.notes.append("no learning curves: the run did not log any (logger=none)")
        return
    if not train_loss_is_squared_error(scorer):
        curves.pop("train/loss", None)
    epoch, best = run.result["objective"]["epoch"] + 1, run.result["metrics"].get("val/rmse")
    if best is None:
        report.notes.append("no learning curves: result.json has no val/rmse")
        return
    report.figures += curve_figures(curves, best, epoch, run.result["time"]["epochs"])
