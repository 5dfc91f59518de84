"""Runs of several processes that somebody else started: torchrun, or Slurm's srun."""

import os
import signal

# What lets a run end after its step, saved: Ctrl-C, a scheduler (Slurm's preemption, a container's end), and
# Slurm's --signal=USR1@90.
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)


def rank() -> int:
    """This process's place among those started for one run; 0: the first, or the only one."""
    if (started := started_by()) is None:  # RANK alone says nothing: other programs set it too
        return 0
    return int(os.environ["RANK" if started[0] == "torchrun" else "SLURM_PROCID"])


def started_by() -> tuple[str, int] | None:
    """Who started the processes of this run, and how many there are; None: it was started by itself."""
    if "TORCHELASTIC_RUN_ID" in os.environ:
        return "torchrun", int(os.environ["WORLD_SIZE"])
    if "SLURM_PROCID" in os.environ:
        return "srun", int(os.environ.get("SLURM_NTASKS", 1))
    return None
