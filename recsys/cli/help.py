"""Print the `--help` of a command: its description, the options of each config group, and all keys."""

import re
import shutil
import textwrap
from collections.abc import Iterator
from pathlib import Path
from string import Template
from typing import Any

import hydra
import yaml
from hydra.core.global_hydra import GlobalHydra
from omegaconf import OmegaConf, open_dict

from recsys.cli.comments import comments_of

# What commands other than recsys-train read of a config group; the rest is about training.
READ = {"hardware": {"accelerator"}}
CHECKSUM = re.compile("md5|sha256")  # in the name of a key or in its comment; such keys are not shown
COLUMN = 34  # where comments begin, or further right if a key and its value are longer
PIPE_WIDTH = 110  # of a pipe or file, which has no width of its own


def help_of(name: str, conf: str, overrides: list[str]) -> str:
    """Return the help template of a command with its placeholders filled in.

    Args:
        name: the primary configuration of the command.
        conf: the folder of the configuration files.
        overrides: what the user typed; the keys are shown with these values.
    """
    with hydra.initialize_config_dir(conf, version_base="1.3"):
        cfg = hydra.compose(name, overrides, return_hydra_config=True)
        comments = comments_of(GlobalHydra.instance().config_loader(), Path(conf), name, overrides)
    template = Template(cfg.hydra.help.template)
    choices = _choices(Path(conf), set(cfg.hydra.runtime.choices))
    with open_dict(cfg):
        del cfg["hydra"]
    config: Any = OmegaConf.to_container(cfg)
    if name != "train":
        for group in READ.keys() & config.keys():
            config[group] = {key: value for key, value in config[group].items() if key in READ[group]}
    width = shutil.get_terminal_size((PIPE_WIDTH, 24)).columns
    keys = "".join(f"{line}\n" for line in _key_lines(config, comments, width))
    return template.substitute(APP_CONFIG_GROUPS=choices, CONFIG=keys)


def _choices(conf: Path, groups: set[str]) -> str:
    """Return one line per config group of a command: `model: bias, embedding-net, ...`."""
    plugins = {"hydra/launcher", "hydra/sweeper"} if "sweep" in groups else set()
    lines = []
    for group in sorted({group for group in groups if not group.startswith("hydra")} | plugins):
        options = {file.stem for file in (conf / group).glob("*.yaml")}
        if group in plugins:
            options.add("basic")  # Hydra's own
        lines.append(f"{group}: {', '.join(sorted(options))}\n")
    return "".join(lines)


def _key_lines(node: dict[str, Any], comments: dict[str, str], width: int, prefix: str = "") -> Iterator[str]:
    """Yield the keys of a configuration as YAML with comments, without checksums."""
    indent = "  " * prefix.count(".")
    for name, value in node.items():
        comment = comments.get(prefix + name, "")
        if CHECKSUM.search(f"{name} {comment}"):
            continue
        is_mapping = isinstance(value, dict) and value
        line = f"{indent}{name}:" if is_mapping else f"{indent}{name}: {_shown(value)}"
        yield from _with_comment(line, comment, width)
        if is_mapping:
            yield from _key_lines(value, comments, width, f"{prefix}{name}.")


def _with_comment(line: str, comment: str, width: int) -> list[str]:
    """Return a line and its comment, which is wrapped at `width` and continued below its first line."""
    column = max(COLUMN, len(line) + 2)
    parts = textwrap.wrap(comment, max(width - column - 2, 24), break_on_hyphens=False)
    starts = [line.ljust(column), *[" " * column] * len(parts)]
    return [f"{start}# {part}" for start, part in zip(starts, parts, strict=False)] or [line]


def _shown(value: Any) -> str:
    """Return a value in YAML, on one line."""
    if isinstance(value, str) and value:
        return value
    return yaml.safe_dump([value], default_flow_style=True, width=1e9).strip()[1:-1]
