"""The commands. Their process is prepared here, before the first slow import."""

import sys
from pathlib import Path

from recsys.cli.streams import set_up_streams
from recsys.runs.processes import exit_on_signals

# Not when a program imports a command: signals and standard streams are its own.
if Path(sys.argv[0]).name.startswith("recsys-") or any(
    word.startswith("recsys.cli.") for word in sys.orig_argv
):
    set_up_streams()
    exit_on_signals()
