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
    template, choices = (
        Template(cfg.hydra.help.template),
        _choices(Path(conf), set(cfg.hydra.runtime.choices)),
    )
    with open_dict(cfg):
        del cfg["hydra"]
    return template.substitute(APP_CONFIG_GROUPS=choices, CONFIG=OmegaConf.to_yaml(cfg))


def _choices(conf: Path, groups: set[str]) -> str:
    """Return one line per config group of a command: `model: bias, embedding-net, ...`."""
    options = {
        group: {file.stem for file in (conf / group).glob("*.yaml")}
        for group in groups
        if not group.startswith("hydra")
    }
    if "sweep" in groups:
        for group in ("hydra/launcher", "hydra/sweeper"):
            options[group] = {
                "basic",
                *(file.stem for file in (conf / group).glob("*.yaml")),
            }  # basic: Hydra's own
    return "".join(f"{group}: {', '.join(sorted(options[group]))}\n" for group in sorted(options))
