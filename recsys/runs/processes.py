"""Rank and number of the processes of a run, and the signals that stop it."""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any

from recsys.errors import Stopped

# Signals that stop a run after the current step, with its state saved: SIGINT is Ctrl-C, SIGTERM comes from a scheduler
# (preemption, end of a container), and SIGUSR1 from Slurm's --signal=USR1@90.
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)
FIRST_PROCESS = "RECSYS_FIRST_PROCESS"  # environment variable: the process id of the first process of a run
INTERRUPTED = "interrupted by Ctrl-C"


def exit_on_signals() -> None:
    """Set handlers that end the process at once, with one line; a run and a sweep replace them while they last.

    Signals that the parent process ignores stay ignored.
    """
    for number in STOP_SIGNALS:
        if is_unhandled(number):
            signal.signal(number, _exit_at_once)


def is_unhandled(number: signal.Signals) -> bool:
    """Return whether the handler of a signal is the default, or that of `exit_on_signals`."""
    return signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler, _exit_at_once)


def _exit_at_once(number: int, frame: FrameType | None) -> None:
    message = INTERRUPTED if number == signal.SIGINT else f"stopped by {signal.Signals(number).name}"
    if process_rank() == 0:
        with suppress(OSError):
            os.write(2, f"{message}\n".encode())
    os._exit(128 + number)  # public, despite its name


@contextmanager
def raise_on_signals(
    numbers: Iterable[signal.Signals], stopped: Callable[[signal.Signals], Stopped]
) -> Iterator[None]:
    """Turn signals into `Stopped`, also if the interruption causes another error in the block, or none.

    Args:
        numbers: the signals.
        stopped: returns the error for the signal that was received.

    Raises:
        Stopped: a signal was received.
    """
    received: signal.Signals | None = None

    def stop(number: int, frame: FrameType | None) -> None:
        nonlocal received
        received = signal.Signals(number)
        raise KeyboardInterrupt  # not an Exception: logging and trackers, for example, catch those

    previous: dict[signal.Signals, Any] = {}
    try:
        for number in numbers:
            with suppress(ValueError):  # handlers can be set in the main thread only
                previous[number] = signal.signal(number, stop)
        yield
    except BaseException:  # in OmegaConf, for example, the exception of the handler causes others
        if received is None:
            raise
        raise stopped(received) from None
    else:
        if received is not None:
            raise stopped(received)
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def process_rank() -> int:
    """Return the global rank of this process among those of its run; 0 for the first or only process."""
    launcher = external_launcher()
    if launcher is None:
        # Lightning's DDP launcher sets LOCAL_RANK in its children. Unrelated programs set RANK alone.
        return int(os.environ.get("LOCAL_RANK", 0))
    return int(os.environ["RANK" if launcher[0] == "torchrun" else "SLURM_PROCID"])


def end_with_first_process() -> None:
    """In the further processes that Lightning starts: end them as soon as the first process has ended, for any reason.

    A process that is still starting would wait for the first one for half an hour.
    """
    if external_launcher() is not None:
        return
    if process_rank() == 0:
        os.environ[FIRST_PROCESS] = str(os.getpid())  # the others inherit it
        return
    first = int(os.environ.get(FIRST_PROCESS, os.getppid()))

    def watch() -> None:
        while os.getppid() == first:
            time.sleep(0.5)
        os.kill(os.getpid(), signal.SIGKILL)

    threading.Thread(target=watch, daemon=True).start()


def external_launcher() -> tuple[str, int] | None:
    """Return the program that started the processes of this run, "torchrun" or "srun", and their number.

    None if neither did; Lightning may still start further processes itself (DDP).
    """
    if "TORCHELASTIC_RUN_ID" in os.environ:
        return "torchrun", int(os.environ["WORLD_SIZE"])
    if "SLURM_PROCID" in os.environ:
        return "srun", int(os.environ.get("SLURM_NTASKS", 1))
    return None
