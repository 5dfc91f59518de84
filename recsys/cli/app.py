"""Run a command as a Hydra app; mistakes of the user become one-line errors without a traceback.

Nothing slow is imported here, so that --help, --cfg and tab completion answer at once.
"""

import atexit
import errno
import gc
import logging
import os
import re
import sys
import traceback
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

import hydra
import yaml
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import QuotedString, Sweep
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

import recsys.config.resolvers  # noqa: F401 (registers the resolvers of conf/)
from recsys import __version__
from recsys.atomic import NO_ROOM
from recsys.cli.explain import explain
from recsys.cli.help import help_of
from recsys.cli.interrupts import INTERRUPTED_CODE, Interrupts
from recsys.cli.own_files import check_own_files
from recsys.cli.quoting import quote_for_hydra
from recsys.cli.streams import output_error, set_up_streams
from recsys.cli.words import check_words, options_first
from recsys.config.option_files import options_of
from recsys.errors import ConfigError, Pruned, Stopped, UserError, causes, named_line, shortened
from recsys.paths import conf_dir
from recsys.runs.processes import INTERRUPTED, process_rank
from recsys.terminal import print_line, set_up_tracebacks_and_warnings

COMBINED = ("logger",)  # config groups of which several options can be chosen: logger=[tensorboard,mlflow]
MULTIRUN_FLAGS = ("-m", "--multirun")


def run_command(name: str, task: Callable[[DictConfig], Any], first_key: str | None = None) -> None:
    """Run conf/<name>.yaml as a Hydra app.

    Ends with exit code 0, or with a message: 1 after an error, 128 + number of the signal that stopped the command.
    A reader of standard output that ends early, as in `| head -1`, is not an error.

    Args:
        name: the primary configuration.
        task: called with the composed configuration; in a sweep, with that of each job.
        first_key: see `recsys.cli.words.check_words`.
    """
    set_up_streams()
    interrupts = Interrupts()
    try:
        with interrupts.handled():
            _run(name, task, interrupts, first_key)
    except (KeyboardInterrupt, Exception) as error:
        if not isinstance(error, KeyboardInterrupt) and not interrupts.received:
            raise
        # torch logs statistics at exit if its import was interrupted.
        logging.getLogger("torch").setLevel(logging.WARNING)
        _exit(INTERRUPTED, INTERRUPTED_CODE)
    if problem := output_error():
        _exit(
            f"standard output: cannot be written ({problem.strerror}); the command has done everything else"
        )


def _run(name: str, task: Callable[[DictConfig], Any], interrupts: Interrupts, first_key: str | None) -> None:
    """Convert the arguments to what Hydra accepts, run the Hydra app, and print errors of the user."""
    try:
        os.getcwd()
    except FileNotFoundError:
        _exit("the current folder was deleted; change to another one")
    _set_up_process()
    words = sys.argv[1:]
    arguments = [quote_for_hydra(word) for word in words if word not in MULTIRUN_FLAGS]
    flags = [word for word in words if word in MULTIRUN_FLAGS]
    overrides = [word for word in arguments if not word.startswith("-")]
    has_begun = False

    def job(cfg: DictConfig) -> Any:
        nonlocal has_begun
        has_begun = True
        try:
            return task(cfg)
        except Exception as error:
            if interrupts.received and not isinstance(error, Stopped):
                raise KeyboardInterrupt from None
            if HydraConfig.get().mode is RunMode.MULTIRUN and not isinstance(error, Stopped):
                raise  # leave it to the launcher: other jobs may follow
            _exit_for(error, name, words)  # here, because Hydra would add a line of its own

    if flags and name != "train":
        _exit(f"recsys-{name} {flags[0]}: only recsys-train has sweeps")
    if {"--cfg", "-c"} & set(arguments):
        flags = []  # print the configuration instead of sweeping
    # Hydra reads sys.argv only, and accepts options only before the overrides.
    sys.argv[1:] = flags + options_first(arguments)
    try:
        if "--version" in words:
            print_line(f"recsys {__version__}")
            return
        check_words(name, words, first_key)
        if {"--help", "-h"} & set(arguments) and len(arguments) == len(overrides) + 1:
            print_line(help_of(name, conf_dir(), overrides))
            return
        check_choices(overrides)
        try:
            hydra.main(version_base="1.3", config_path=conf_dir(), config_name=name)(job)()
        except Exception as error:
            if not has_begun and not interrupts.received:
                check_own_files(words, error)
            raise
    except (UserError, HydraException, OmegaConfBaseException, OSError) as error:
        _exit_for(error, name, words)
    except yaml.YAMLError as error:
        _exit(f"a configuration file is not valid YAML: {' '.join(str(error).split())}")
    except Exception as error:
        if interrupts.received or not _is_raised_by_hydra(error):
            raise
        _exit(f"hydra: {named_line(error)}; check the hydra.* keys")


def _is_raised_by_hydra(error: Exception) -> bool:
    """Return whether Hydra itself raised an error; it checks its own keys by assertions."""
    *_, (frame, _) = traceback.walk_tb(error.__traceback__)
    return str(frame.f_globals.get("__name__")).startswith("hydra.")


def _exit_for(error: Exception, name: str, words: list[str]) -> NoReturn:
    """Print an error that the user can fix, and exit; raise any other."""
    # OmegaConf wraps errors, also those of signals.
    stopped = (cause for cause in causes(error) if isinstance(cause, Stopped))
    error = next(stopped, error)
    match error:
        case Stopped() if process_rank() > 0:
            sys.exit(0)  # the first process says why; any other code would make Lightning kill it before
        case Stopped():
            _exit(str(error), 128 + error.number)  # the exit code of a process that a signal ended
        case UserError() | Pruned():
            _exit(str(error))
        case HydraException() | OmegaConfBaseException():  # for example seed=${nope}
            _exit(explain(error, name, words))
        case OSError() if error.errno in NO_ROOM:
            # Only Hydra's own files are written without a name: those of a sweep.
            folder = next((word for word in words if word.startswith("output_dir=")), "outputs")
            _exit(f"{error.filename or folder}: cannot be written ({error.strerror})")
        case PermissionError() | FileExistsError() | NotADirectoryError() if isinstance(error.filename, str):
            _exit(f"{error.filename}: {error.strerror}; choose another folder, or make this one writable")
        case OSError() if error.errno == errno.ENAMETOOLONG:
            _exit(f"{shortened(str(error.filename), quoted=False)}: the name of a file or folder is too long")
    raise error


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
            chosen = value if key in COMBINED and isinstance(value, list) else [value]
            if not all(isinstance(one, str | QuotedString | Sweep) for one in chosen):
                raise ConfigError(f"{override}: choose {', '.join(options_of(key))}")


def _set_up_process() -> None:
    set_up_tracebacks_and_warnings()
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
    print_line(message, is_error=True)
    sys.exit(code)
