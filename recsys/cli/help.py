"""Print the `--help` of a command: its description, the options of each config group, and all keys."""

from pathlib import Path
from string import Template

import hydra
from omegaconf import OmegaConf, open_dict


def help_of(name: str, conf: str, overrides: list[str]) -> str:
    """Return the help template of a command with its placeholders filled in.

    Hydra's own --help prints the same text in twice the time, because it copies everything loaded so far for
    each config group.

    Args:
        name: the primary configuration of the command.
        conf: the folder of the configuration files.
        overrides: what the user typed; the keys are shown with these values.
    """
    with hydra.initialize_config_dir(conf, version_base="1.3"):
        cfg = hydra.compose(name, overrides, return_hydra_config=True)
    template = Template(cfg.hydra.help.template)
    choices = _choices(Path(conf), set(cfg.hydra.runtime.choices))
    with open_dict(cfg):
        del cfg["hydra"]
    return template.substitute(APP_CONFIG_GROUPS=choices, CONFIG=OmegaConf.to_yaml(cfg))


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
