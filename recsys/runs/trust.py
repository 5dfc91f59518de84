"""The classes and functions that the files of a run may name.

The configuration in a checkpoint or a run folder names classes (`_target_`), a checkpoint names the class of its
network, and the record of a sweep names its pruner. A file from someone else could name any function of any installed
package with any arguments. So only the names below are used, unless the user declares the run trusted.
"""

from collections.abc import Collection, Iterator
from typing import Any

from recsys.errors import RunError
from recsys.runs.walk import walk

MAX_NODES = 100_000  # of a configuration: a small file can describe many, by references to the same list

TRUSTED = frozenset(
    {
        "recsys.data.sources.archive.read_colons",
        "recsys.data.sources.archive.read_csv",
        "recsys.data.sources.archive.read_tabs",
        "recsys.data.sources.table.Table",
        "recsys.data.sources.movielens.MovieLens",
        "recsys.data.sources.synthetic.Synthetic",
        "recsys.data.splits.FileSplit",
        "recsys.data.splits.KFoldSplit",
        "recsys.data.splits.LeaveLastSplit",
        "recsys.data.splits.NewItemsSplit",
        "recsys.data.splits.NewUsersSplit",
        "recsys.data.splits.OfficialSplit",
        "recsys.data.splits.RandomSplit",
        "recsys.data.splits.TemporalSplit",
        "recsys.models.bias.Bias",
        "recsys.models.embedding_net.EmbeddingNet",
        "recsys.models.hybrid.HybridNet",
        "recsys.models.matrix_factorization.MatrixFactorization",
        "recsys.training.auto_loss.AutoLoss",
        "recsys.training.callbacks.averaging.CycleEndAveraging",
        "recsys.training.callbacks.averaging.ExponentialAverage",
        "recsys.training.losses.BPR",
        "recsys.training.losses.Pointwise",
        "recsys.training.losses.Joint",
        "recsys.training.losses.SampledSoftmax",
        "recsys.training.schedules.Constant",
        "recsys.training.schedules.CosineRestarts",
        "recsys.training.schedules.OneCycle",
        "recsys.training.schedules.Triangular",
        "recsys.training.sparse_adam.SparseAdam",
        "recsys.training.trackers.mlflow.MLflowTracker",
        "recsys.training.trackers.wandb.WandbTracker",
        "torch.optim.ASGD",
        "torch.optim.Adadelta",
        "torch.optim.Adafactor",
        "torch.optim.Adagrad",
        "torch.optim.Adam",
        "torch.optim.AdamW",
        "torch.optim.Adamax",
        "torch.optim.LBFGS",
        "torch.optim.NAdam",
        "torch.optim.RAdam",
        "torch.optim.RMSprop",
        "torch.optim.Rprop",
        "torch.optim.SGD",
        "torch.optim.SparseAdam",
        "optuna.pruners.HyperbandPruner",
        "optuna.pruners.MedianPruner",
        "optuna.pruners.NopPruner",
        "optuna.pruners.PatientPruner",
        "optuna.pruners.PercentilePruner",
        "optuna.pruners.SuccessiveHalvingPruner",
        "optuna.pruners.ThresholdPruner",
        "optuna.pruners.WilcoxonPruner",
        "pytorch_lightning.callbacks.DeviceStatsMonitor",
        "pytorch_lightning.callbacks.EMAWeightAveraging",
        "pytorch_lightning.loggers.CSVLogger",
        "pytorch_lightning.loggers.TensorBoardLogger",
        # Metrics whose arguments cannot make them large.
        "torchmetrics.MeanAbsolutePercentageError",
        "torchmetrics.MeanSquaredLogError",
        "torchmetrics.SymmetricMeanAbsolutePercentageError",
        "torchmetrics.WeightedMeanAbsolutePercentageError",
        "torchmetrics.retrieval.RetrievalHitRate",
        "torchmetrics.retrieval.RetrievalMAP",
        "torchmetrics.retrieval.RetrievalMRR",
        "torchmetrics.retrieval.RetrievalNormalizedDCG",
        "torchmetrics.retrieval.RetrievalPrecision",
        "torchmetrics.retrieval.RetrievalRecall",
    }
)

Trust = bool | Collection[str]  # whether any name may be used, or which names in addition to `TRUSTED`


def check_trusted(config: Any, origin: object, trust: Trust = False) -> None:
    """Check that a configuration names only trusted code, and has no interpolations such as `${oc.env:HOME}`.

    Args:
        config: nested dicts and lists, which may be untrusted.
        origin: the file or folder that it comes from, for the message.
        trust: True: any code; or names that are trusted in addition to `TRUSTED`.

    Raises:
        RunError: it names other code, has an interpolation, or has too many values.
    """
    if trust is True:
        return
    for key, value in _entries(config, origin):
        if key == "_target_":
            require_trusted(value, origin, trust)
        elif isinstance(value, str) and "${" in value:
            raise RunError(
                f"{origin}: its configuration has the interpolation {value!r:.100}, which a run never records; "
                "add trust=true if you trust it"
            )


def require_trusted(name: object, origin: object, trust: Trust = False) -> None:
    """Check one name; see `check_trusted`."""
    if trust is True or (isinstance(name, str) and (name in TRUSTED or (trust and name in trust))):
        return
    raise RunError(
        f"{origin}: uses {name!r:.200}, which is not part of recsys and could be any code; if this is a run of your "
        "own, add trust=true (in Python: trust=True)"
    )


def names_other_code(config: Any) -> bool:
    """Return whether a configuration of the user, as plain values, names code that needs trust=true later."""
    return not targets(config) <= TRUSTED


def targets(config: Any) -> set[str]:
    """Return the names that a configuration uses as `_target_`."""
    return {str(value) for key, value in walk(config, MAX_NODES) if key == "_target_"}


def _entries(config: Any, origin: object) -> Iterator[tuple[Any, Any]]:
    try:
        yield from walk(config, MAX_NODES)
    except ValueError as error:
        raise RunError(f"{origin}: its configuration has {error}") from None
