"""The ratings of a finished run and their split, read again to evaluate it."""

from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from hydra.utils import instantiate

from recsys.data.batches import EVALUATION_BATCH, Batches, to_tensors
from recsys.data.dataset import Dataset
from recsys.data.fingerprint import fingerprint
from recsys.data.load import load_dataset, split_dataset
from recsys.data.sources.base import Source
from recsys.data.splits import Split, SplitMethod
from recsys.errors import RunError, first_line, named_line
from recsys.runs.load import LoadedRun
from recsys.runs.targets import import_target
from recsys.runs.trust import Trust, check_trusted

T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class RunRatings:
    """The ratings and the split of a run.

    Attributes:
        dataset: the ratings.
        split_method: the method that made the split.
        split: the split of the run; with refit=true, its training set contains the validation set.
    """

    dataset: Dataset
    split_method: SplitMethod
    split: Split

    def batches(self, subset: str) -> Batches:
        """Return batches of all ratings of a subset ("train", "val" or "test"), in order."""
        return Batches(to_tensors(self.dataset, getattr(self.split, subset), "cpu"), EVALUATION_BATCH)


def load_ratings(run: LoadedRun, trust: Trust = False) -> RunRatings:
    """Read the ratings of a run with the configuration in its checkpoint, and split them again.

    Args:
        run: the run.
        trust: whether its configuration may name any code; see `recsys.runs.trust`.

    Raises:
        UserError: the ratings cannot be read, have changed, or the configuration is not trusted.
    """
    config = run.checkpoint.config
    check_trusted(config, run.folder, trust)
    source = _build(run, "data", Source)  # type: ignore[type-abstract]
    split_method = _build(run, "split", SplitMethod)  # type: ignore[type-abstract]
    try:
        for problem in (*source.check(), *split_method.check(getattr(source, "name", None))):
            raise RunError(f"run={run.folder}: {problem}")
        with np.errstate(all="ignore"):  # absurd values are reported by the errors that they cause
            dataset = load_dataset(source.on_this_machine())
            split = split_dataset(split_method, dataset)
    except (TypeError, ValueError, AttributeError, ArithmeticError, RuntimeError) as error:  # wrong types
        if trust is True:
            raise
        raise RunError(
            f"run={run.folder}: its configuration of data or split is not valid ({named_line(error):.300})"
        ) from None
    if run.checkpoint.data != (fingerprint(dataset), split.fingerprint):
        then, now = run.result["data"]["ratings"], len(dataset)
        numbers = f" ({now} now, {then} then)" if now != then else ""
        raise RunError(
            f"run={run.folder}: since the run was trained, the ratings of {dataset.name} have changed{numbers}, or "
            "their split, or ids or features in the tables of items and users, or another version of recsys drew the "
            "split; the run can still recommend"
        )
    if run.checkpoint.is_refit:
        split = split.train_on_validation_set()
    return RunRatings(dataset, split_method, split)


def _build(run: LoadedRun, key: str, kind: type[T]) -> T:
    """Return the object that a node of the run's configuration describes.

    Raises:
        RunError: it cannot be built, or is not a `kind`.
    """
    try:
        node = run.checkpoint.config[key]
        if isinstance(node, dict) and "_target_" in node:
            import_target(node["_target_"])  # its errors say what to do
        built = instantiate(node, _convert_="all")
    except Exception as error:  # a configuration that was tampered with causes many kinds of errors
        raise RunError(
            f"run={run.folder}: its configuration of {key} is not valid ({first_line(error.__cause__ or error):.600})"
        ) from None
    if not isinstance(built, kind):
        raise RunError(f"run={run.folder}: its {key} is a {type(built).__name__}, not a {kind.__name__}")
    return built
