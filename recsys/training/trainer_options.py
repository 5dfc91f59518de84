"""The arguments of Lightning's Trainer that the group `trainer` sets, and the callbacks of the group `callbacks`."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning.callbacks import Callback
from pytorch_lightning.profilers import AdvancedProfiler, Profiler, PyTorchProfiler, SimpleProfiler

from recsys.errors import ConfigError, first_line
from recsys.terminal import is_terminal

PROFILE = "profile"  # name of the file that a profiler writes; Lightning adds "fit-" and ".txt"
PROFILERS: dict[str, Callable[..., Profiler]] = {
    "simple": SimpleProfiler,
    "advanced": AdvancedProfiler,
    # Recording the names of modules adds hooks to them that cannot be copied, and a scorer is a copy.
    "pytorch": partial(PyTorchProfiler, record_module_names=False),
}


def trainer_options(cfg: DictConfig, folder: Path) -> dict[str, Any]:
    """Return the arguments of the Trainer from the group `trainer`, without those that are null.

    Args:
        cfg: the configuration.
        folder: the run folder, for a profile.
    """
    options: dict[str, Any] = OmegaConf.to_container(cfg.trainer, resolve=True)  # type: ignore[assignment]
    given = {name: value for name, value in options.items() if value is not None}
    given["enable_progress_bar"] = shows_bar(cfg)
    if name := given.get("profiler"):
        given["profiler"] = PROFILERS[name](dirpath=folder, filename=PROFILE)
    return given


def shows_bar(cfg: DictConfig) -> bool:
    """Return whether training shows a progress bar: as `trainer.enable_progress_bar` says, or on a terminal."""
    chosen = cfg.trainer.enable_progress_bar
    return is_terminal() if chosen is None else bool(chosen)


def added_callbacks(cfg: DictConfig) -> list[Callback]:
    """Return new instances of the callbacks in the group `callbacks`.

    Raises:
        ConfigError: one cannot be built, or is not a callback.
    """
    nodes: dict[str, Any] = OmegaConf.to_container(cfg.callbacks, resolve=True)  # type: ignore[assignment]
    return [_build_callback(name, node) for name, node in nodes.items()]


def _build_callback(name: str, node: Any) -> Callback:
    try:
        callback = instantiate(node, _convert_="all")
    except Exception as error:  # constructors of the user can raise anything
        raise ConfigError(f"callbacks.{name}: {first_line(error.__cause__ or error)}") from None
    if not isinstance(callback, Callback):
        raise ConfigError(
            f"callbacks.{name}: a {type(callback).__name__} is not a callback; use a subclass of "
            "pytorch_lightning.Callback"
        )
    return callback
