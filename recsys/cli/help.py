"""What `--help` prints: a command's own words, its choices and its keys."""

from pathlib import Path
from string import Template

import hydra
from omegaconf import OmegaConf, open_dict


def help_of(name: str, conf: str, overrides: list[str]) -> str:
    """The template in conf/<name>.yaml, filled in.

    Hydra's own way gives the same, but for every group of choices it copies all that it has loaded so far,
    and half of the time until the text appears would go there.

    Args:
        name: of the command's configuration.
        conf: the configuration folder.
        overrides: what the user chose; the keys are shown with it.
    """
    with hydra.initialize_config_dir(conf, version_base="1.3"):
        cfg = hydra.compose(name, overrides, return_hydra_config=True)
    template = Template(cfg.hydra.help.template)
    with open_dict(cfg):
        del cfg["hydra"]
    return template.substitute(APP_CONFIG_GROUPS=_choices(Path(conf)), CONFIG=OmegaConf.to_yaml(cfg))


def _choices(conf: Path) -> str:
    """A line per group: `model: bias, embedding-net, ...`."""
    options: dict[str, list[str]] = {}
    for file in sorted(conf.glob("*/*.yaml"), key=lambda file: (file.parent.name, file.stem)):
        options.setdefault(file.parent.name, []).append(file.stem)
    return "".join(f"{group}: {', '.join(names)}\n" for group, names in options.items() if group != "hydra")
