"""The options of a config group, as the files in conf/ define them."""

import re
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from recsys.paths import conf_dir


def options_of(group: str) -> list[str]:
    """Return the names of the options of a config group."""
    return sorted(file.stem for file in Path(conf_dir(), group).glob("*.yaml"))


def contents_of(group: str) -> dict[str, dict[str, Any]]:
    """Return what each option of a config group sets in it, also by files that it inherits."""
    return {file.stem: _content(file) for file in sorted(Path(conf_dir(), group).glob("*.yaml"))}


def _content(file: Path) -> dict[str, Any]:
    content: Any = OmegaConf.load(file)
    inherited = [
        file.parent / f"{str(entry).partition('@')[0]}.yaml" for entry in content.pop("defaults", ())
    ]
    group = file.parent.name
    header = re.search(r"^# @package (\S+)$", file.read_text("utf-8"), re.MULTILINE)
    package = group if header is None else header[1]
    if package == "_global_":
        content = content.get(group) or {}
    merged = OmegaConf.merge(*(OmegaConf.load(base) for base in inherited if base.is_file()), content)
    plain: Any = OmegaConf.to_container(merged)
    node = package.removeprefix(f"{group}.")
    return plain if node == package else {node: plain}  # logger.csv: one node of several in the group
