"""Jobs that run a few lines of Python instead of a training, and slots for them."""

import contextlib
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from recsys.sweeps.forkserver import Server
from recsys.sweeps.job import Job
from recsys.sweeps.slot import Slot, job_environment

MODULE = "import sys; exec(sys.argv[1])"  # content of script.py
FINISH = """
import json, pathlib
result = {"objective": {"name": "val/rmse", "mode": "min", "value": 0.5}, "overrides": ["a=1"]}
pathlib.Path("FOLDER", "result.json").write_text(json.dumps(result))
"""


@dataclass(frozen=True)
class Script(Job):
    """A job that runs its code in the module `script`; FOLDER in the code stands for its folder."""

    code: str = ""

    @property
    def command(self) -> list[str]:
        return [sys.executable, "-m", "script", self.code.replace("FOLDER", str(self.folder))]


def scripts(folder: Path, *codes: str) -> list[Script]:
    """Return one job per piece of code; their folders are folder/0, folder/1 and so on."""
    return [Script(number, ("a=1",), folder / str(number), code=code) for number, code in enumerate(codes)]


@contextlib.contextmanager
def slots(n: int = 1, forks: bool = False, **environment: str) -> Iterator[list[Slot]]:
    """Return n slots, whose jobs are forks of one server or new processes."""
    server = Server(job_environment(environment)) if forks else None
    yield [Slot(environment, server) for _ in range(n)]
    if server is not None:
        server.close()
