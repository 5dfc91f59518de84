"""The comments of configuration keys: what stands next to a key in the YAML files of conf/."""

from pathlib import Path

import yaml
from hydra.core.config_loader import ConfigLoader
from hydra.types import RunMode


def comments_of(loader: ConfigLoader, conf: Path, name: str, overrides: list[str]) -> dict[str, str]:
    """Return the comment of each key that has one: {"ranking.k": "recommendations per user; ..."}.

    The files are those that Hydra composes: the primary configuration, the chosen options, and what they inherit from.
    Where several files comment on a key, the file that decides its value is right.

    Args:
        loader: Hydra's.
        conf: the folder of the configuration files.
        name: the primary configuration.
        overrides: what the user typed.
    """
    comments: dict[str, str] = {}
    for default in loader.compute_defaults_list(name, overrides, RunMode.RUN).defaults:
        file = conf / f"{default.config_path}.yaml"
        if default.config_path.startswith("hydra/") or not file.is_file():
            continue
        prefix = f"{default.package}." if default.package else ""
        for key, comment in keys_in(file.read_text("utf-8")).items():
            if comment:
                comments[prefix + key] = comment
    return comments


def keys_in(text: str) -> dict[str, str]:
    """Return the dotted keys of a YAML file, each with the comment on its line; "" where there is none.

    Config groups in the defaults list are keys, too.

    >>> keys_in("seed: 1 # of all draws\\nl2:\\n  biases: 0.1\\n")
    {'seed': 'of all draws', 'l2': '', 'l2.biases': ''}
    """
    ends: dict[int, int] = {}  # the column at which the last token of a line ends
    for token in yaml.scan(text):
        ends[token.end_mark.line] = max(token.end_mark.column, ends.get(token.end_mark.line, 0))
    comments = {
        number: line[ends.get(number, 0) :].partition("#")[2].strip()
        for number, line in enumerate(text.splitlines())
    }
    found: dict[str, str] = {}

    def visit(node: yaml.Node | None, prefix: str) -> None:
        if not isinstance(node, yaml.MappingNode):
            return
        for name, value in node.value:
            if name.value == "defaults" and isinstance(value, yaml.SequenceNode):
                for entry in value.value:
                    visit(entry, prefix)
                continue
            # The keys of a mapping on one line have no comment of their own.
            found[prefix + name.value] = "" if node.flow_style else comments[name.start_mark.line]
            visit(value, f"{prefix}{name.value}.")

    visit(yaml.compose(text), "")
    return found
