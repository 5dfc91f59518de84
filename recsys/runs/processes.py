"""The processes of one run: started by torchrun, by Slurm's srun, or by Lightning's DDP launcher."""

import os
import signal

# Signals that stop a run after the current step, with its state saved: Ctrl-C, a scheduler (preemption, end
# of a container), and Slurm's --signal=USR1@90.
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)


def process_rank() -> int:
    """Return the global rank of this process among those of its run; 0 for the first or only process."""
    launcher = started_by()
    if launcher is None:
        # Lightning's DDP launcher sets LOCAL_RANK in its children. Unrelated programs set RANK alone.
        return int(os.environ.get("LOCAL_RANK", 0))
    return int(os.environ["RANK" if launcher[0] == "torchrun" else "SLURM_PROCID"])


def started_by() -> tuple[str, int] | None:
    """Return the launcher of this run's processes and their number; None if there is no launcher."""
    if "TORCHELASTIC_RUN_ID" in os.environ:
        return "torchrun", int(os.environ["WORLD_SIZE"])
    if "SLURM_PROCID" in os.environ:
        return "srun", int(os.environ.get("SLURM_NTASKS", 1))
    return None
