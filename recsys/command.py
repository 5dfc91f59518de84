"""The skin of every command: a Hydra app whose user mistakes are one line and no traceback.

Nothing heavy is imported here, so that --help, --cfg and tab completion answer at once.
"""

import difflib
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import hydra
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from recsys.errors import UserError
from recsys.runs import new_folder


def config_folder() -> str:
    """conf/: beside the package in a checkout, inside it in a wheel."""
    here = Path(__file__).resolve().parent
    for folder in (here / "conf", here.parent / "conf"):
        if (folder / "train.yaml").is_file():
            return str(folder)
    raise UserError(f"no conf folder beside or in {here}: the installation is incomplete")


def run_command(name: str, task: Callable[[DictConfig], Any]) -> None:
    """Run conf/<name>.yaml as a Hydra app.

    Args:
        name: of the configuration file.
        task: what to do with the composed configuration; in a sweep, with each.
    """
    register_resolvers()
    os.environ.setdefault("HYDRA_FULL_ERROR", "1")  # Hydra hands errors on instead of printing them itself
    try:
        hydra.main(version_base="1.3", config_path=config_folder(), config_name=name)(task)()
    except UserError as mistake:
        _exit(str(mistake))
    except (HydraException, OmegaConfBaseException) as mistake:
        _exit(_explain(mistake, name))
    except KeyboardInterrupt:
        _exit("stopped by the keyboard", 130)


def register_resolvers() -> None:
    """What conf/ may use between ${ and }."""
    OmegaConf.register_new_resolver("new_folder", new_folder, use_cache=True, replace=True)


def _exit(message: str, code: int = 1) -> NoReturn:
    print(message, file=sys.stderr)
    sys.exit(code)


def _explain(mistake: Exception, name: str) -> str:
    """Hydra's message without its internals, and the nearest key that exists."""
    cause: BaseException | None = mistake
    while cause is not None:  # a mistake of our own may lie under an interpolation
        if isinstance(cause, UserError):
            return str(cause)
        cause = cause.__cause__
    lines = [line for line in str(mistake).splitlines() if line.strip()]
    causes = [line for line in str(mistake.__cause__ or "").splitlines()[:1] if line not in lines]
    told = [line.strip() for line in [*lines, *causes] if not line.strip().startswith(("full_key", "object_type", "To append"))]
    wanted = re.search(r"(?:Key '|Could not override '|full_key: )([\w.@/-]+)", str(mistake) + str(mistake.__cause__))
    if wanted:
        near = difflib.get_close_matches(_full_key(mistake, wanted[1]), _known_keys(name), n=3, cutoff=0.6)
        if near:
            told.append(f"Did you mean {' or '.join(near)}?")
    return "\n".join(told)


def _full_key(mistake: Exception, found: str) -> str:
    override = re.search(r"Could not override '([\w.@/-]+)'", str(mistake))
    return override[1] if override else found


def _known_keys(name: str) -> list[str]:
    """Every key that could have been meant, under the groups chosen on this command line."""
    GlobalHydra.instance().clear()
    groups = [word for word in sys.argv[1:] if re.fullmatch(r"[\w/]+=[\w-]+", word)]
    with hydra.initialize_config_dir(config_folder(), version_base="1.3"):
        for overrides in (groups, []):
            try:
                cfg = hydra.compose(name, overrides)
            except HydraException:
                continue
            return list(_keys(OmegaConf.to_container(cfg, resolve=False)))
    return []


def _keys(node: Any, prefix: str = "") -> list[str]:
    if not isinstance(node, dict):
        return []
    keys = []
    for key, value in node.items():
        if not str(key).startswith("_"):
            keys += [f"{prefix}{key}", *_keys(value, f"{prefix}{key}.")]
    return keys
