"""The curves of a run, read from what its logger left."""

import logging
from pathlib import Path

import pandas as pd

FIGURES = "figures"  # our own folder in a run; its events are pictures, not curves


def read_curves(folder: Path) -> dict[str, pd.Series]:
    """Whatever the run logged: name -> values over steps; empty where it kept no curves.

    TensorBoard's events or metrics.csv lie in the run's folder or, in a sweep, in a folder of that folder.
    """
    for place in (folder, *sorted(path for path in folder.iterdir() if path.is_dir())):
        if place.name == FIGURES:
            continue
        if any(place.glob("events.out.tfevents.*")):
            return _from_events(place)
        if (place / "metrics.csv").is_file():  # a cell is empty where another curve was logged
            # A run that went on has a file of each start; where two tell of a step, the later one is right.
            files = [*sorted(place.glob("metrics-*.csv"), key=_number), place / "metrics.csv"]
            lines = pd.concat([pd.read_csv(file) for file in files])
            table = lines.groupby("step").last()
            return {str(name): column.dropna() for name, column in table.items() if column.notna().any()}
    return {}


def epochs(curves: dict[str, pd.Series]) -> dict[str, pd.Series]:
    """The curves that a run of this project logs, over epochs instead of steps.

    Returns:
        Of "train/loss", "val/rmse", "val/mae" and "learning rate", those that are there; each indexed by the
        number of epochs that had passed. Empty where there is no val/rmse, which is logged once an epoch.
    """
    if "val/rmse" not in curves:
        return {}
    steps = curves["val/rmse"].index
    steps_per_epoch = (steps[-1] + 1) / len(steps)
    names: dict[str, str] = {name: name for name in ("train/loss", "val/rmse", "val/mae") if name in curves}
    if rates := [name for name in curves if name.startswith("lr-")]:
        names["learning rate"] = rates[0]
    return {
        shown: pd.Series(curves[name].to_numpy(), (curves[name].index + 1) / steps_per_epoch)
        for shown, name in names.items()
    }


def _number(file: Path) -> int:
    """2 of metrics-2.csv."""
    return int(file.stem.rpartition("-")[2])


def _from_events(folder: Path) -> dict[str, pd.Series]:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    logging.getLogger("tensorboard").setLevel(logging.WARNING)  # which file it reads next is no news
    events = EventAccumulator(str(folder), size_guidance={"scalars": 0, "images": 1}).Reload()  # 0: all
    curves = {}
    for name in events.Tags()["scalars"]:
        points = events.Scalars(name)
        curves[name] = pd.Series([point.value for point in points], [point.step for point in points])
    return curves
