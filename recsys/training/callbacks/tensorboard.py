"""What a run shows in TensorBoard beside its curves: figures, and a row of the HParams table."""

from collections.abc import Callable, Sequence
from typing import Any

import pytorch_lightning as pl
from matplotlib.figure import Figure
from pytorch_lightning.loggers import TensorBoardLogger
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData
from torch.utils.tensorboard import summary

# The keys people vary; a column each in the HParams table.
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
# Facts of the data and technical switches, which nobody varies.
HIDDEN = {"address", "md5", "members", "package", "reader", "folder", "mirror", "verify", "scale"}
HIDDEN |= {"on_bad_rows", "_partial_", "fused"}


def show_figure(trainer: pl.Trainer, tag: str, draw: Callable[[], Figure]) -> None:
    """Draw and add a figure, where TensorBoard is the logger."""
    for logger in trainer.loggers:
        if isinstance(logger, TensorBoardLogger):
            logger.experiment.add_figure(tag, draw())


def show_hparams(
    trainer: pl.Trainer, config: dict[str, Any], metrics: dict[str, float], varied: Sequence[str] = ()
) -> None:
    """Add the run's row to the HParams table, once, with its final validation metrics.

    The metrics stand under names of their own (`best/val_rmse`), since the table shows a curve's last value,
    and the last epoch is not the best one.

    Args:
        trainer: whose loggers are used.
        config: the run's configuration.
        metrics: such as {"val/rmse": 0.9}.
        varied: keys that come first in the table.
    """
    row = hparams(config, varied)
    shown = {f"best/{name.replace('/', '_')}": value for name, value in metrics.items()}
    for logger in trainer.loggers:
        if isinstance(logger, TensorBoardLogger):
            table, start, end = summary.hparams(row, shown)
            content = table.value[0].metadata.plugin_data
            data = HParamsPluginData.FromString(content.content)
            for info in data.experiment.hparam_infos:
                info.differs = info.name in varied  # the table sorts by this, and hides what comes late
            content.content = data.SerializeToString()
            for part in (table, start, end):
                logger.experiment._get_file_writer().add_summary(part)
            for name, value in shown.items():
                logger.experiment.add_scalar(name, value, trainer.global_step)
            logger.experiment.flush()


def hparams(config: dict[str, Any], varied: Sequence[str] = ()) -> dict[str, Any]:
    """The shown part of a configuration, flat: {"model.embedding_dim": 50, ...}."""
    flat: dict[str, Any] = {}

    def walk(key: str, value: Any) -> None:
        if isinstance(value, dict):
            for name, inner in value.items():
                if name == "_target_":
                    flat[key] = inner.rsplit(".", 1)[-1]
                elif name not in HIDDEN:
                    walk(f"{key}.{name}" if key else name, inner)
        else:
            flat[key] = str(value) if isinstance(value, list) or value is None else value

    walk("", config)
    return {key: value for key, value in flat.items() if key.startswith((*SHOWN, *varied))}
