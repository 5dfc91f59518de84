"""Run a command as a Hydra app; mistakes of the user become one-line errors without a traceback.

Nothing slow is imported here, so that --help, --cfg and tab completion answer at once.
"""

import atexit
import difflib
import gc
import os
import re
import sys
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import QuotedString, Sweep
from hydra.errors import ConfigCompositionException, HydraException, MissingConfigException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import ConfigAttributeError, ConfigKeyError, OmegaConfBaseException

from recsys.atomic import NO_ROOM
from recsys.cli.help import help_of
from recsys.errors import ConfigError, Pruned, Stopped, UserError, shortened
from recsys.paths import conf_dir, conf_initialised
from recsys.runs.folder import hydra_quoted
from recsys.runs.start import timestamp

MULTIRUN_FLAGS = ("-m", "--multirun")


def run_command(name: str, task: Callable[[DictConfig], Any], quote: Callable[[str], str] = str) -> None:
    """Run conf/<name>.yaml as a Hydra app.

    Args:
        name: the primary configuration.
        task: called with the composed configuration; in a sweep, with that of each job.
        quote: converts a command-line argument to Hydra's grammar.
    """
    register_resolvers()
    _set_up_process()

    def job(cfg: DictConfig) -> Any:
        try:
            return task(cfg)
        except Stopped as end:
            _exit(str(end), 128 + end.number)  # the exit code of a process that a signal ended
        except (UserError, Pruned) as error:
            if HydraConfig.get().mode is RunMode.MULTIRUN:  # leave it to the launcher: other jobs may follow
                raise
            _exit(str(error))
        except OmegaConfBaseException as error:  # a value that cannot be resolved, such as seed=${nope}
            if HydraConfig.get().mode is RunMode.MULTIRUN:
                raise
            _exit(_explain(error, name, overrides))

    arguments = [quote(word) for word in sys.argv[1:] if word not in MULTIRUN_FLAGS]
    flags = [word for word in sys.argv[1:] if word in MULTIRUN_FLAGS]
    overrides = [word for word in arguments if not word.startswith("-")]
    if flags and name != "train":
        _exit(f"recsys-{name} {flags[0]}: only recsys-train has sweeps")
    if {"--cfg", "-c"} & set(arguments):
        flags = []  # print the configuration instead of sweeping
    # Hydra reads sys.argv only, and accepts -m only before the overrides.
    sys.argv[1:] = flags + arguments
    try:
        if {"--help", "-h"} & set(arguments) and len(arguments) == len(overrides) + 1:
            print(help_of(name, conf_dir(), overrides))
            return
        check_choices(overrides)
        hydra.main(version_base="1.3", config_path=conf_dir(), config_name=name)(job)()
    except Stopped as end:  # from a sweep
        _exit(str(end), 128 + end.number)
    except UserError as error:
        _exit(str(error))
    except (HydraException, OmegaConfBaseException) as error:
        _exit(_explain(error, name, overrides))
    except KeyboardInterrupt:
        _exit("stopped by the keyboard", 130)
    except BrokenPipeError:  # the reader of a pipe has ended (| head)
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except OSError as error:
        if error.errno not in NO_ROOM:
            raise
        _exit(f"{error.filename or 'outputs'}: cannot be written ({error.strerror})")


def register_resolvers() -> None:
    """Register the resolver `sweep_folder` of conf/train.yaml.

    It is cached like Hydra's `now`: the folder of a sweep is the same however often it is read.
    """
    OmegaConf.register_new_resolver("sweep_folder", _sweep_folder, replace=True, use_cache=True)


def _sweep_folder(name: str | None, *chosen: str | int | None) -> str:
    """Return the first chosen folder that is not null, or a name made of the time and the sweep's name."""
    for folder in chosen:
        if folder is not None:
            return str(Path(str(folder)).expanduser())
    return f"outputs/sweeps/{timestamp()}" + (f"_{name}" if name else "")


def check_choices(overrides: Iterable[str]) -> None:
    """Check overrides that choose the option of a config group, such as `split=0`, and numbers of many digits.

    Hydra reports them as a ValueError that does not name the override.

    Raises:
        ConfigError: the value is not a name, and the message lists the options; or the number is too long.
    """
    for override in overrides:
        key, _, digits = override.partition("=")
        if re.fullmatch(r"[+-]?[0-9_]{4300,}", digits):  # Python converts no more
            raise ConfigError(f"{key}={shortened(digits, quoted=False)}: too many digits for a number")
        group = Path(conf_dir(), key)
        if not re.fullmatch(r"[a-z/]+=.*", override) or not group.is_dir():
            continue
        with suppress(HydraException):  # Hydra reports syntax errors itself
            value = OverridesParser.create().parse_override(override).value()
            if not isinstance(value, str | QuotedString | Sweep):
                options = ", ".join(sorted(file.stem for file in group.glob("*.yaml")))
                raise ConfigError(f"{override}: choose {options}")


def quote_for_hydra(override: str) -> str:
    """Quote the value of `item=`, `user=` and `genres=`, in which commas and quotes are ordinary characters.

    Titles and ids contain characters that have a meaning in Hydra's grammar, and users do not know that grammar:
    without quotes, the user ids 1_0 and 1e1 would become 10.

    >>> quote_for_hydra("item=Postino, Il (1994)"), quote_for_hydra("genres=[Sci-Fi,Children's]")
    ("item='Postino, Il (1994)'", "genres=['Sci-Fi','Children\\\\'s']")
    """
    key, _, value = override.partition("=")
    if not value or value[0] in "'\"" or value == "null":
        return override
    if key in ("item", "user"):
        return f"{key}={hydra_quoted(value.strip())}"
    if key == "genres" and value[0] == "[" and value[-1] == "]" and '"' not in value and "['" not in value:
        return f"genres=[{','.join(hydra_quoted(name.strip()) for name in value[1:-1].split(',') if name)}]"
    return override


def _set_up_process() -> None:
    # Let Hydra raise errors instead of printing them itself.
    os.environ.setdefault("HYDRA_FULL_ERROR", "1")
    # OpenMP threads that spin while they wait slow down a shared machine several times. torch, which is
    # imported later, reads the variable only once.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    # torch and Lightning create a million objects. Searching them for garbage during the imports and at exit
    # takes a quarter of the time of a short command.
    gc.set_threshold(50_000, 10, 10)
    atexit.register(gc.freeze)


def _exit(message: str, code: int = 1) -> NoReturn:
    print(message, file=sys.stderr)
    sys.exit(code)


def _explain(error: Exception, name: str, overrides: list[str]) -> str:
    """Return the message for an error of Hydra or OmegaConf, with the nearest name that exists."""
    if isinstance(error, MissingConfigException) and error.missing_cfg_file:
        group, _, option = error.missing_cfg_file.rpartition("/")
        options = list(error.options or ())
        return f"{group}={option}: choose {', '.join(options)}{_nearest(option, options)}"
    cause = error if isinstance(error, OmegaConfBaseException) else error.__cause__
    if isinstance(cause, ConfigKeyError | ConfigAttributeError) and cause.full_key:
        key = str(cause.full_key)
        # Arguments of a class that conf/ does not list, such as optimizer.betas, can be added.
        hint = (
            f"; if its class accepts the argument, +{key}=... adds it"
            if "." in key
            else f"; recsys-{name} --help lists all keys"
        )
        return f"{key}: no such key{_nearest(key, _known_keys(name, overrides)) or hint}"
    if isinstance(cause, OmegaConfBaseException):
        first = f"{error}: " if isinstance(error, ConfigCompositionException) and str(error) else ""
        return first + str(cause).splitlines()[0]
    return "\n".join(line.strip() for line in str(error).splitlines() if line.strip())


def _nearest(wanted: str, known: list[str]) -> str:
    near = [name for name in difflib.get_close_matches(wanted, known, n=1, cutoff=0.8) if name != wanted]
    return f"\nDid you mean {near[0]}?" if near else ""


def _known_keys(name: str, overrides: list[str]) -> list[str]:
    """Return all keys of a command under the config groups that the user chose."""
    groups = [override for override in overrides if re.fullmatch(r"[\w/]+=[\w-]+", override)]
    for chosen in (groups, []):
        with suppress(HydraException), conf_initialised():
            return list(keys_of(OmegaConf.to_container(hydra.compose(name, list(chosen)), resolve=False)))
    return []


def keys_of(node: Any, prefix: str = "") -> list[str]:
    """Return the dotted keys of a nested dict, without those that begin with an underscore."""
    if not isinstance(node, dict):
        return []
    keys = []
    for key, value in node.items():
        if not str(key).startswith("_"):
            keys += [f"{prefix}{key}", *keys_of(value, f"{prefix}{key}.")]
    return keys
