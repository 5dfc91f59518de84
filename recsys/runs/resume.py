"""Resume an interrupted run: find its folder, and check that its configuration stays the same."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig, OmegaConf

from recsys.errors import ConfigError, RunError
from recsys.paths import expanded
from recsys.runs.folder import CHECKPOINTS, HYDRA, RESULT
from recsys.runs.record import (
    flattened,
    has_begun,
    recorded_choices,
    recorded_config,
    recorded_overrides,
    resolve_config,
)

UNSET = object()


def find_run_to_resume(run: str) -> Path:
    """Return the folder of an unfinished run.

    Args:
        run: its path, or "latest" for the newest unfinished run under ./outputs/runs.

    Raises:
        RunError: there is no such run, it has finished, or it stopped before its configuration was recorded.
    """
    if run == "latest":
        folders = [path.parent.parent for path in Path("outputs/runs").glob(f"*/{HYDRA}/config.yaml")]
        unfinished = [folder for folder in folders if not (folder / RESULT).is_file()]
        if not unfinished:
            raise RunError("run=latest: no unfinished run under ./outputs/runs")
        return max(unfinished, key=lambda folder: (folder / HYDRA).stat().st_mtime_ns).absolute()
    folder = expanded(run).absolute()
    if not folder.is_dir():
        raise RunError(f"run={run}: no such folder")
    if (folder / RESULT).is_file():
        raise RunError(f"run={run}: this run has already finished (it has a {RESULT})")
    if not has_begun(folder):
        raise RunError(
            f"run={run}: nothing to resume (no {HYDRA}/config.yaml); start a new run in another folder"
        )
    return folder


def can_resume(folder: Path) -> bool:
    """Return whether a run was started in a folder; a folder without a run can be used for a new one.

    Raises:
        RunError: there are checkpoints, but the configuration that they belong to is missing.
    """
    if has_begun(folder):
        return True
    if (folder / CHECKPOINTS).exists():
        raise RunError(
            f"{folder}: has checkpoints but no {HYDRA}/config.yaml; start a new run in another folder"
        )
    return False


def check_overrides(folder: Path, typed: Sequence[str], cfg: DictConfig) -> None:
    """Check that overrides typed next to resume=true agree with the configuration of the run.

    Args:
        folder: the run folder.
        typed: the overrides, without the start keys.
        cfg: the configuration that they compose.

    Raises:
        ConfigError: one differs; the message has both values.
    """
    recorded, choices = recorded_overrides(folder) or [], recorded_choices(folder)
    parser = OverridesParser.create()
    before, now = recorded_config(folder), OmegaConf.create(resolve_config(cfg))
    for override in parser.parse_overrides([word for word in typed if word not in recorded]):
        key, value = override.key_or_group, override.value()
        if key in choices:  # an option of a config group
            is_equal, old = str(value) == str(choices[key]), choices[key]
        else:
            old = OmegaConf.select(before, key, default=UNSET)
            is_equal = old is not UNSET and old == OmegaConf.select(now, key, default=UNSET)
            if override.is_delete():
                is_equal = old is UNSET
        if not is_equal:
            raise ConfigError(_refusal(str(override.input_line), key, old))


def check_unchanged(folder: Path, config: dict[str, Any]) -> None:
    """Check that a configuration equals the one that a run was started with.

    Raises:
        ConfigError: one line per key that differs.
    """
    before, now = flattened(OmegaConf.to_container(recorded_config(folder))), flattened(config)
    errors = [
        _refusal(f"{key}={_shown(now.get(key, UNSET))}", key, before.get(key, UNSET))
        for key in sorted(before.keys() | now.keys())
        if before.get(key, UNSET) != now.get(key, UNSET)
    ]
    if errors:
        raise ConfigError("\n".join(errors))


def _refusal(new: str, key: str, old: Any) -> str:
    return f"{new}: a resumed run keeps its original configuration ({key}={_shown(old)})"


def _shown(value: Any) -> str:
    if value is None or value is UNSET:
        return "null" if value is None else "unset"
    if isinstance(value, DictConfig):
        return str(value.get("_target_", "other values"))
    return str(value).lower() if isinstance(value, bool) else str(value)
