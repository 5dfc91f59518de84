"""Runs of several processes that somebody else started: torchrun, or Slurm's srun."""

import os


def rank() -> int:
    """This process's place among those started for one run; 0: the first, or the only one."""
    return int(os.environ.get("RANK") or os.environ.get("SLURM_PROCID") or 0)


def started_by() -> tuple[str, int] | None:
    """Who started the processes of this run, and how many there are; None: it was started by itself."""
    if "TORCHELASTIC_RUN_ID" in os.environ:
        return "torchrun", int(os.environ["WORLD_SIZE"])
    if "SLURM_PROCID" in os.environ:
        return "srun", int(os.environ.get("SLURM_NTASKS", 1))
    return None
