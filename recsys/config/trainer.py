"""The keys of the group `trainer`: arguments of Lightning's Trainer, and those that other keys set."""

from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict

from recsys.types import NonNegativeInt, PositiveInt

WHOLE_EPOCHS = "not possible, because a run has whole epochs; use max_epochs, "
OTHER_KEYS = {
    "accelerator": "use hardware.accelerator",
    "strategy": "use hardware.strategy",
    "devices": "use hardware.devices",
    "num_nodes": "use hardware.num_nodes",
    "precision": "use hardware.precision",
    "logger": "use logger=tensorboard, csv, mlflow, wandb or none",
    "callbacks": "use +callbacks.<name>._target_=<class>",
    "max_epochs": "use max_epochs",
    "max_steps": f"{WHOLE_EPOCHS}with trainer.limit_train_batches for short epochs",
    "max_time": f"{WHOLE_EPOCHS}or a callback that ends training after an epoch: "
    "+callbacks.timer._target_=pytorch_lightning.callbacks.Timer '+callbacks.timer.duration={hours:8}' "
    "+callbacks.timer.interval=epoch",
    "gradient_clip_val": "use gradient_clip",
    "default_root_dir": "use output_dir",
    "enable_checkpointing": "not possible, because the result of a run is its best checkpoint; remove it",
    "barebones": "not possible, because the result of a run is its best checkpoint; try trainer=debug",
    "limit_test_batches": "not possible, because the test set is used once, with all its ratings; remove it",
    "limit_predict_batches": "not possible, because recsys-train does not predict; remove it",
    "plugins": "not possible, because recsys writes checkpoints with its own plugin; use train() or a Lightning script",
    "use_distributed_sampler": "not possible, because batches know their process; remove it",
    "model_registry": "not possible, because checkpoints stay in the run folder; remove it",
}


def _check_batches(value: float) -> float:
    if not 0 < value <= 1 and (value < 1 or value % 1):
        raise ValueError("must be a whole number from 1, or a share above 0 and at most 1.0")
    return value


def _check_overfit(value: float) -> float:
    return value if value == 0 else _check_batches(value)


def _check_dev_run(value: Any) -> Any:
    if not isinstance(value, bool) and not (isinstance(value, int) and 0 <= value < 2**31):
        raise ValueError("must be true, false or a number of batches")
    return value


Batches = Annotated[float, AfterValidator(_check_batches)]


class Trainer(BaseModel):
    """The keys of conf/trainer/default.yaml, which documents them."""

    model_config = ConfigDict(extra="forbid")
    fast_dev_run: Annotated[Any, AfterValidator(_check_dev_run)]
    min_epochs: PositiveInt | None
    min_steps: PositiveInt | None
    limit_train_batches: Batches | None
    limit_val_batches: Batches | None
    overfit_batches: Annotated[float, AfterValidator(_check_overfit)]
    val_check_interval: Batches | None
    check_val_every_n_epoch: PositiveInt
    num_sanity_val_steps: Annotated[int, AfterValidator(lambda value: max(-1, value))]
    log_every_n_steps: NonNegativeInt
    enable_progress_bar: bool | None
    enable_model_summary: bool
    accumulate_grad_batches: PositiveInt
    gradient_clip_algorithm: Literal["value", "norm"] | None
    deterministic: Literal[True, False, "warn"] | None
    benchmark: bool | None
    inference_mode: bool
    reload_dataloaders_every_n_epochs: NonNegativeInt
    profiler: Literal["simple", "advanced", "pytorch"] | None
    detect_anomaly: bool
    sync_batchnorm: bool
    enable_autolog_hparams: bool | None


def other_key_errors(trainer: dict[str, Any]) -> Iterator[str]:
    """Yield an error for each argument of the Trainer that another key sets, or that cannot be changed."""
    for name, value in trainer.items():
        if name in OTHER_KEYS:
            yield f"trainer.{name}={value}: {OTHER_KEYS[name]}"


def combination_errors(cfg: dict[str, Any], cycle_ends: set[int]) -> Iterator[str]:
    """Yield the errors of trainer.* together with other keys.

    Args:
        cfg: the configuration.
        cycle_ends: epochs, counted from 1, at which weights are compared.
    """
    trainer, max_epochs = cfg["trainer"], cfg["max_epochs"]
    every = trainer["check_val_every_n_epoch"]
    if all(epoch % every for epoch in cycle_ends):
        first = ", ".join(map(str, sorted(cycle_ends)[:3]))
        yield (
            f"trainer.check_val_every_n_epoch={every}: weights are compared at the end of a cycle of the schedule, "
            f"after epoch {first}, ..., and none of these is validated; use a divisor of one of them"
        )
    if trainer["min_epochs"] is not None and trainer["min_epochs"] > max_epochs:
        yield f"trainer.min_epochs={trainer['min_epochs']}: must be at most max_epochs={max_epochs}"
    if trainer["overfit_batches"] and cfg["refit"]:
        yield (
            f"trainer.overfit_batches={trainer['overfit_batches']}: not possible with refit=true, which trains on all "
            "ratings; use refit=false"
        )
