"""The skin of every command: a Hydra app whose user mistakes are one line and no traceback.

Nothing heavy is imported here, so that --help, --cfg and tab completion answer at once.
"""

import atexit
import difflib
import gc
import os
import re
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

import hydra
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import QuotedString, Sweep
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from recsys.atomic import NO_ROOM
from recsys.cli.help import help_of
from recsys.errors import ConfigError, Stopped, UserError
from recsys.paths import conf_dir
from recsys.runs.folder import forget_claimed, new_folder


def run_command(name: str, task: Callable[[DictConfig], Any]) -> None:
    """Run conf/<name>.yaml as a Hydra app.

    Args:
        name: of the configuration file.
        task: what to do with the composed configuration; in a sweep, with each.
    """
    register_resolvers()
    _collect_garbage_rarely()
    os.environ.setdefault("HYDRA_FULL_ERROR", "1")  # Hydra hands errors on instead of printing them itself

    def job(cfg: DictConfig) -> Any:
        try:
            return task(cfg)
        except Stopped as end:
            _exit(str(end), 128 + end.number)  # as a shell tells of a process that a signal ended
        except UserError as mistake:
            if HydraConfig.get().mode is RunMode.MULTIRUN:  # an exit would end the other jobs
                raise
            _refuse(mistake, str(mistake))

    flags = [word for word in sys.argv[1:] if word in ("-m", "--multirun")]
    if flags and name != "train":
        _exit(f"recsys-{name} {flags[0]}: only recsys-train sweeps")
    if {"--cfg", "-c"} & set(sys.argv):
        flags = []  # to show is not to sweep
    words = [word for word in sys.argv[1:] if word not in ("-m", "--multirun")]
    sys.argv[1:] = flags + words  # Hydra wants them first
    overrides = [word for word in words if not word.startswith("-")]
    try:
        if {"--help", "-h"} & set(words) and len(words) == len(overrides) + 1:
            print(help_of(name, conf_dir(), overrides))
            return
        check_choices(overrides)
        hydra.main(version_base="1.3", config_path=conf_dir(), config_name=name)(job)()
    except Stopped as end:  # of a sweep
        _exit(str(end), 128 + end.number)
    except UserError as mistake:
        _refuse(mistake, str(mistake))
    except (HydraException, OmegaConfBaseException) as mistake:
        _refuse(mistake, _explain(mistake, name))
    except KeyboardInterrupt:
        _exit("stopped by the keyboard", 130)
    except BrokenPipeError:  # whoever reads our output has read enough (| head)
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except OSError as problem:
        if problem.errno not in NO_ROOM:
            raise
        forget_claimed()
        _exit(f"{problem.filename or 'outputs'}: cannot be written ({problem.strerror})")


def check_choices(overrides: list[str]) -> None:
    """Look at words that choose a file of a group; Hydra itself has no words for `split=0`.

    Raises:
        ConfigError: with the choices that there are.
    """
    for word in overrides:
        group = Path(conf_dir(), word.split("=")[0])
        if not re.fullmatch(r"[a-z/]+=.*", word) or not group.is_dir():
            continue
        with suppress(HydraException):  # what is no override at all, Hydra can tell
            value = OverridesParser.create().parse_override(word).value()
            if not isinstance(value, str | QuotedString | Sweep):
                known = ", ".join(sorted(file.stem for file in group.glob("*.yaml")))
                raise ConfigError(f"{word}: one of {known} expected")


def register_resolvers() -> None:
    """What conf/ may use between ${ and }."""
    # With its cache, as Hydra's own ${now:}: a run or a sweep has one folder, however often it is asked for.
    OmegaConf.register_new_resolver("new_folder", new_folder, replace=True, use_cache=True)


def _collect_garbage_rarely() -> None:
    """torch and Lightning are a million objects; Python would search them for garbage over and over while
    they are imported, and once more at the end: a quarter of the time that a short command takes.
    """
    gc.set_threshold(50_000, 10, 10)
    atexit.register(gc.freeze)


def _refuse(mistake: Exception, told: str) -> NoReturn:
    if not isinstance(mistake, UserError) or isinstance(mistake, ConfigError):
        forget_claimed()  # nothing has begun
    _exit(told)


def _exit(message: str, code: int = 1) -> NoReturn:
    print(message, file=sys.stderr)
    sys.exit(code)


def _explain(mistake: Exception, name: str) -> str:
    """Hydra's message without its internals, and the nearest name that exists."""
    told = [line.strip() for line in str(mistake).splitlines() if line.strip()]
    # Words of our own, said while an interpolation was resolved, stand behind Hydra's.
    told[0] = re.sub(r"^\w+ raised while resolving interpolation: ", "", told[0])
    if "Config search path:" in told:  # an unknown option of a group: the known ones stand before this line
        told = told[: told.index("Config search path:")]
        wanted = re.search(r"'[\w-]+/([\w-]+)'", told[0])
        known = [line for line in told[1:] if not line.startswith("Available")]
        return "\n".join(told) + _nearest(wanted[1] if wanted else "", known)
    if "does not support sweep type" in told[0]:
        return f"{told[0]}: a grid has no intervals; hydra/sweeper=optuna searches them"
    wanted = re.search(r"Could not override '([\w.@/-]+)'", str(mistake))
    near = _nearest(wanted[1], _known_keys(name)) if wanted else ""
    if near:
        return f"{told[0]}{near}"
    return "\n".join(
        line for line in told if not line.startswith(("full_key", "object_type", "reference_type"))
    )


def _nearest(wanted: str, known: list[str]) -> str:
    near = [name for name in difflib.get_close_matches(wanted, known, n=1, cutoff=0.8) if name != wanted]
    return f"\nDid you mean {near[0]}?" if near else ""


def _known_keys(name: str) -> list[str]:
    """Every key that could have been meant, under the groups chosen on this command line."""
    GlobalHydra.instance().clear()
    groups = [word for word in sys.argv[1:] if re.fullmatch(r"[\w/]+=[\w-]+", word)]
    with hydra.initialize_config_dir(conf_dir(), version_base="1.3"):
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
