"""Learning curves of a run, read from the files of its logger."""

import logging
from pathlib import Path

import pandas as pd

from recsys.errors import named_line
from recsys.models.scorer import Scorer

log = logging.getLogger(__name__)

FIGURES = "figures"  # subfolder of a run for the report; its event files contain images, not curves


def read_curves(folder: Path) -> dict[str, pd.Series]:
    """Read the metrics that a run logged.

    TensorBoard event files or metrics.csv are searched for in the run folder and then in its subfolders: the
    jobs of a sweep log to a subfolder.

    Returns:
        {metric: values indexed by step}; empty if the run logged nothing, or, with a warning, if it cannot be read.
    """
    subfolders = sorted(path for path in folder.glob("*/") if path.name != FIGURES)
    for candidate in (folder, *subfolders):
        try:
            if any(candidate.glob("events.out.tfevents.*")):
                return _from_events(candidate)
            if (candidate / "metrics.csv").is_file():
                return _from_csv(candidate)
        except Exception as error:  # damaged files cause many kinds of errors
            log.warning("%s: its curves cannot be read (%.200s)", candidate, named_line(error))
            return {}
    return {}


def epochs(curves: dict[str, pd.Series]) -> dict[str, pd.Series]:
    """Convert the curves of a run from steps to epochs.

    Returns:
        "train/loss", "val/rmse", "val/mae" and "learning rate", if logged, each indexed by the number of
        completed epochs. Empty without "val/rmse".
    """
    if "val/rmse" not in curves:
        return {}
    # train/loss is logged at the end of each epoch; validations can be more or less frequent.
    steps = curves.get("train/loss", curves["val/rmse"]).index
    steps_per_epoch = (steps[-1] + 1) / len(steps)
    names: dict[str, str] = {name: name for name in ("train/loss", "val/rmse", "val/mae") if name in curves}
    if "lr" in curves:
        names["learning rate"] = "lr"
    return {
        label: pd.Series(curves[name].to_numpy(), (curves[name].index + 1) / steps_per_epoch)
        for label, name in names.items()
    }


def train_loss_is_squared_error(scorer: Scorer) -> bool:
    """Return whether the square root of "train/loss" is an RMSE in rating points.

    It is not if a head has a loss of its own, such as the negative log-likelihood of an ordinal head. The
    heads of all members of an ensemble are checked.
    """
    heads = [module.head for module in scorer.modules() if hasattr(module, "head")]
    return not any(hasattr(head, "negative_log_likelihood") for head in heads)


def _from_csv(folder: Path) -> dict[str, pd.Series]:
    """Join metrics-1.csv, metrics-2.csv, ..., which resumed runs leave, and metrics.csv.

    If two files contain the same step, the later file is right. A cell is empty if the row logs another
    metric.
    """
    earlier = sorted(folder.glob("metrics-*.csv"), key=lambda file: int(file.stem.rpartition("-")[2]))
    rows = pd.concat([pd.read_csv(file) for file in (*earlier, folder / "metrics.csv")])
    table = rows.groupby("step").last().apply(pd.to_numeric)
    if (table.index < 0).any():
        raise ValueError("a step is below 0")
    return {str(name): column.dropna() for name, column in table.items() if column.notna().any()}


def _from_events(folder: Path) -> dict[str, pd.Series]:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    logging.getLogger("tensorboard").setLevel(logging.WARNING)  # it logs every file that it reads
    events = EventAccumulator(str(folder), size_guidance={"scalars": 0, "images": 1}).Reload()  # 0: all
    curves = {}
    for name in events.Tags()["scalars"]:
        points = events.Scalars(name)
        curves[name] = pd.Series([point.value for point in points], [point.step for point in points])
    return curves
