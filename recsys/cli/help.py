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
    with open_dict(cfg):
        del cfg["hydra"]
    return template.substitute(APP_CONFIG_GROUPS=_choices(Path(conf)), CONFIG=OmegaConf.to_yaml(cfg))


def _choices(conf: Path) -> str:
    """Return one line per config group: `model: bias, embedding-net, ...`."""
    options: dict[str, list[str]] = {}
    for file in sorted(conf.glob("*/*.yaml"), key=lambda file: (file.parent.name, file.stem)):
        options.setdefault(file.parent.name, []).append(file.stem)
    return "".join(f"{group}: {', '.join(names)}\n" for group, names in options.items() if group != "hydra")
