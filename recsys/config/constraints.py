"""Constraints on combinations of config values.

`recsys.config.validate` checks each value first, then these constraints. They use the instantiated objects, not names
in the configuration: for example `loss.predicts_ratings` and `split.check`. A constraint yields one message per error:
the key, its value, what is allowed and what to do.
"""

import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hydra.utils import instantiate

from recsys.config.added import callback_errors, metric_errors
from recsys.config.hardware import Config, hardware_errors, runs_on_gpu
from recsys.config.trainer import combination_errors
from recsys.errors import first_line
from recsys.training.small_network import build_small_network

if TYPE_CHECKING:
    import torch

    from recsys.data.sources.base import Source
    from recsys.data.splits import SplitMethod
    from recsys.models.base import RatingNetwork
    from recsys.training.losses import Loss
    from recsys.training.schedules import Schedule


@dataclass
class Objects:
    """What a configuration describes, built without data."""

    source: "Source"
    split: "SplitMethod"
    loss: "Loss"
    schedule: "Schedule"
    optimizer: "torch.optim.Optimizer"
    network: "RatingNetwork"

    @property
    def has_ratings(self) -> bool:
        """Whether the data has ratings; otherwise, it has interactions."""
        return getattr(self.source, "has_ratings", True)


def constraint_errors(cfg: Config, on_this_machine: bool = True) -> Iterator[str]:
    """Yield the errors of a training configuration whose individual values are valid.

    Args:
        cfg: the configuration.
        on_this_machine: see `recsys.config.hardware.hardware_errors`.
    """
    objects: dict[str, Any] = {}
    builders: tuple[tuple[str, str, Callable[[Config], Any]], ...] = (
        ("source", "data", _build),
        ("split", "split", _build),
        ("loss", "loss", _build),
        ("schedule", "schedule", _build),
        ("optimizer", "optimizer", _build_optimizer),
        ("network", "model", build_small_network),
    )
    broken = False
    for name, key, build in builders:
        try:
            objects[name] = build(cfg[key])
        except Exception as error:  # user-defined constructors can raise anything
            broken = True
            yield f"{key}: {first_line(error.__cause__ or error)}"  # Hydra wraps the constructor's error
            continue
        if (expected := _base_class(name)) is not None and not isinstance(objects[name], expected):
            broken = True
            base = f"{expected.__module__}.{expected.__name__}"
            yield f"{key}._target_={cfg[key]['_target_']}: must be a subclass of {base}"
    if not broken:
        yield from hardware_errors(cfg["hardware"], on_this_machine)
        for constraint in CONSTRAINTS:
            yield from constraint(cfg, Objects(**objects))


def _base_class(name: str) -> type | None:
    """Return the class that an object of `Objects` must have; None for the optimizer, which torch checks."""
    from recsys.data.sources.base import Source
    from recsys.data.splits import SplitMethod
    from recsys.models.base import RatingNetwork
    from recsys.training.losses import Loss
    from recsys.training.schedules import Schedule

    bases = {
        "source": Source,
        "split": SplitMethod,
        "loss": Loss,
        "schedule": Schedule,
        "network": RatingNetwork,
    }
    return bases.get(name)


def data_errors(cfg: Config) -> Iterator[str]:
    """Yield the errors of a data source whose individual values are valid."""
    yield from _build(cfg).check()


def _build(node: Config) -> Any:
    return instantiate(node, _convert_="all")


def _build_optimizer(node: Config) -> Any:
    import torch

    return instantiate(node, _partial_=True, _convert_="all")([torch.nn.Parameter(torch.zeros(1))])


def _sparse_gradients_are_supported(cfg: Config, objects: Objects) -> Iterator[str]:
    if not getattr(objects.optimizer, "sparse_gradients", False):
        return
    if cfg["gradient_clip"] > 0:
        yield (
            f"gradient_clip={cfg['gradient_clip']}: not possible with sparse gradients (optimizer=sparse-adam); "
            "use gradient_clip=0, or optimizer=adam"
        )
    if cfg["hardware"]["strategy"] == "ddp" and runs_on_gpu(cfg["hardware"]):
        yield (
            "hardware.strategy=ddp: GPUs (NCCL) cannot sum sparse gradients (optimizer=sparse-adam); "
            "use optimizer=adam, or hardware.accelerator=cpu"
        )


def _split_is_possible(cfg: Config, objects: Objects) -> Iterator[str]:
    yield from objects.source.check()
    yield from objects.split.check(getattr(objects.source, "name", None))


def _ranking_can_be_measured(cfg: Config, objects: Objects) -> Iterator[str]:
    ranking = cfg["ranking"]
    if not objects.loss.predicts_ratings and ranking["k"] == 0:
        yield (
            f"ranking.k=0: the loss {_name(objects.loss)} selects weights by {objects.loss.objective(10).name}; "
            "use ranking.k=10, or loss=pointwise"
        )
    scale, threshold = getattr(objects.source, "scale", None), ranking["threshold"]
    if not objects.has_ratings:
        if threshold is not None:
            yield f"ranking.threshold={threshold}: not possible with data.rating=null; each interaction is relevant"
        return
    if scale and threshold is not None and not scale[0] <= threshold <= scale[1]:
        yield f"ranking.threshold={threshold}: must be between {scale[0]} and {scale[1]} (data.scale)"


def _loss_fits_data(cfg: Config, objects: Objects) -> Iterator[str]:
    loss, has_ratings = objects.loss, objects.has_ratings
    if loss.predicts_ratings and not has_ratings:
        yield (
            f"loss={_name(loss).lower()}: learns ratings, but the rows have none (data.rating=null); use loss=softmax, "
            "loss=bpr or loss=auto"
        )
    if loss.counts_interactions and has_ratings:
        yield f"loss.weights={cfg['loss']['weights']}: needs interactions (data.rating=null); use loss.weights=equal"


def _network_fits_loss(cfg: Config, objects: Objects) -> Iterator[str]:
    from recsys.models.base import NO_CHOICE_HEAD

    accepted = inspect.signature(type(objects.network)).parameters
    for name, value in objects.loss.network_arguments.items():
        if name not in accepted:
            yield f"loss={_name(objects.loss).lower()}: {_name(objects.network)} {NO_CHOICE_HEAD}"
            return
        if name in cfg["model"]:
            yield f"model.{name}={cfg['model'][name]}: set by the loss {_name(objects.loss)} ({value}); remove it"


def _one_kind_of_average(cfg: Config, objects: Objects) -> Iterator[str]:
    if not cfg["averaging"]:
        return
    if not objects.loss.predicts_ratings:
        yield (
            f"averaging: not possible with the ranking loss {_name(objects.loss)}; use averaging=none, or "
            "loss=pointwise"
        )
    if cfg["snapshots"] > 1:
        yield f"snapshots={cfg['snapshots']}: not possible with averaging; use averaging=none, or snapshots=1"


def _refit_is_possible(cfg: Config, objects: Objects) -> Iterator[str]:
    if not cfg["refit"]:
        return
    if cfg["averaging"]:
        yield "refit=true: not possible with averaging; use averaging=none (snapshots are possible)"
    if cfg["hardware"]["devices"] > 1 or cfg["hardware"]["num_nodes"] > 1:
        yield "refit=true: needs a single process; use hardware.devices=1"


def _run_is_resumed(cfg: Config, objects: Objects) -> Iterator[str]:
    if cfg["run"] is not None and not cfg["resume"]:
        yield f"run={cfg['run']}: requires resume=true; for a new run, use output_dir=<folder>"


def _network_returns_scores(cfg: Config, objects: Objects) -> Iterator[str]:
    from recsys.training.returned import network_errors

    yield from network_errors(objects.network)


def _trainer_fits(cfg: Config, objects: Objects) -> Iterator[str]:
    from recsys.training.returned import cycle_end_errors

    ends = objects.schedule.cycle_ends(cfg["max_epochs"])
    yield from list(cycle_end_errors(objects.schedule, ends)) or combination_errors(cfg, ends)


def _additions_work(cfg: Config, objects: Objects) -> Iterator[str]:
    yield from metric_errors(cfg, objects.loss)
    yield from callback_errors(cfg)


def _name(component: object) -> str:
    return type(component).__name__


Constraint = Callable[[Config, Objects], Iterator[str]]
CONSTRAINTS: tuple[Constraint, ...] = (
    _sparse_gradients_are_supported,
    _split_is_possible,
    _ranking_can_be_measured,
    _loss_fits_data,
    _network_fits_loss,
    _one_kind_of_average,
    _refit_is_possible,
    _run_is_resumed,
    _network_returns_scores,
    _trainer_fits,
    _additions_work,
)
