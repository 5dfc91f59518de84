"""Data sources and splits by the names that the command line uses: data=ml-100k, split=random."""

from pathlib import Path
from typing import Any

import hydra
from hydra.utils import instantiate
from omegaconf import MISSING, OmegaConf

from recsys.data.sources.base import Source
from recsys.data.splits import SplitMethod
from recsys.errors import ConfigError
from recsys.paths import conf_dir, conf_initialised


def source_by_name(name: str, **options: Any) -> Source:
    """Return the data source of conf/data/<name>.yaml.

    Args:
        name: such as "ml-100k" or "table".
        options: values for keys of the file, such as `path="ratings.csv"`.

    Raises:
        ConfigError: there is no such file or key, or a required value is missing.
    """
    return _build("data", name, options)


def split_by_name(name: str, **options: Any) -> SplitMethod:
    """Return the split of conf/split/<name>.yaml.

    Args:
        name: such as "random" or "kfold".
        options: values for keys of the file, such as `seed=1`.

    Raises:
        ConfigError: there is no such file or key.
    """
    return _build("split", name, options)


def _build(group: str, name: str, options: dict[str, Any]) -> Any:
    node = _compose(group, name)
    known = [key for key in node if not key.startswith("_")]
    for key in options:
        if key not in known:
            raise ConfigError(f"{group}={name}: no option {key!r}; choose {', '.join(known) or 'none'}")
    node |= options
    for key in known:
        if node[key] == MISSING:
            raise ConfigError(f"{group}={name}: option {key!r} needs a value")
    return instantiate(node, _convert_="all")


def _compose(group: str, name: str) -> dict[str, Any]:
    """Return conf/<group>/<name>.yaml as plain values."""
    known = sorted(file.stem for file in Path(conf_dir(), group).glob("*.yaml"))
    if name not in known:
        raise ConfigError(f"{group}={name}: unknown name; choose {', '.join(known)}")
    with conf_initialised():
        cfg = hydra.compose(f"{group}/{name}")
    return OmegaConf.to_container(cfg[group], resolve=True)  # type: ignore[return-value]
