"""What a run shows in TensorBoard in addition to its curves: its configuration, and a row of the HParams table."""

import textwrap
from collections.abc import Sequence
from typing import Any

import pytorch_lightning as pl
from omegaconf import OmegaConf
from pytorch_lightning.loggers import TensorBoardLogger

# Outside a sweep, the HParams table has a column for each key that starts with one of these.
SHOWN = (
    "seed",
    "batch_size",
    "data.",
    "split",
    "model",
    "loss",
    "optimizer",
    "schedule",
    "hardware.precision",
)
# Facts about the data and technical switches, which are not varied.
HIDDEN = {"address", "md5", "members", "package", "reader", "folder", "mirror", "verify", "scale"}
HIDDEN |= {"on_bad_rows", "_partial_", "fused"}


def log_config(trainer: pl.Trainer, config: dict[str, Any]) -> None:
    """Add the run's configuration as text, if TensorBoard is the logger.

    Args:
        trainer: whose loggers are used.
        config: plain values.
    """
    for logger in trainer.loggers:
        if isinstance(logger, TensorBoardLogger):
            # Indented text is a code block in Markdown, whatever it contains.
            logger.experiment.add_text("config", textwrap.indent(OmegaConf.to_yaml(config), "    "))


def log_hparams(
    trainer: pl.Trainer, config: dict[str, Any], metrics: dict[str, float], varied: Sequence[str] = ()
) -> None:
    """Add the run's row to the HParams table, with its final validation metrics.

    The metrics have names of their own (`val/best_rmse`, next to `val/rmse`): the table shows the last value of a
    curve, and the last epoch is not the best one.

    Args:
        trainer: whose loggers are used.
        config: the run's configuration, as plain values.
        metrics: such as {"val/rmse": 0.9}.
        varied: the keys that a sweep varies, which are then the only columns; empty: `SHOWN`.
    """
    best = {name.replace("/", "/best_"): value for name, value in metrics.items()}
    for logger in trainer.loggers:
        if isinstance(logger, TensorBoardLogger):
            logger.log_hyperparams(hparams(config, varied or SHOWN), best, trainer.global_step)
            logger.experiment.flush()


def hparams(config: dict[str, Any], shown: Sequence[str] = SHOWN) -> dict[str, Any]:
    """Return the shown part of a configuration as a flat dict: {"model.embedding_dim": 50, ...}.

    Args:
        config: plain values.
        shown: beginnings of keys.
    """
    flat: dict[str, Any] = {}

    def add(key: str, value: Any) -> None:
        if isinstance(value, dict):
            for name, child in value.items():
                if name == "_target_":
                    flat[key] = child.rsplit(".", 1)[-1]
                elif name not in HIDDEN:
                    add(f"{key}.{name}" if key else name, child)
        else:
            flat[key] = str(value) if isinstance(value, list) or value is None else value

    add("", config)
    return {key: value for key, value in flat.items() if key.startswith(tuple(shown))}
