"""Run the commands as a user does: processes of their own, in any folder."""

import json
import os
import subprocess
import sys
from pathlib import Path


def run(command: str, *arguments: str, code: int = 0, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command as a module; it must end with exit code `code`."""
    done = subprocess.run(
        [sys.executable, "-m", f"recsys.cli.{command}", *arguments],
        capture_output=True,
        text=True,
        timeout=180,
        env={**os.environ, **environment},
    )
    assert done.returncode == code, done.stderr
    return done


def modules_in(folder: Path) -> dict[str, str]:
    """Return the environment variable with which a command can import the modules in a folder."""
    return {"PYTHONPATH": os.pathsep.join(filter(None, [str(folder), os.environ.get("PYTHONPATH")]))}


def result_in(folder: Path) -> dict:
    """Return the content of result.json of a run folder."""
    return json.loads((folder / "result.json").read_text())


def shell(line: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a line of bash in which `recsys <command>` starts a command; the exit code is that of the first process."""
    line = f'recsys() {{ {sys.executable} -m recsys.cli."$@"; }}; {line}; exit ${{PIPESTATUS[0]}}'
    return subprocess.run(
        ["bash", "-c", line],
        capture_output=True,
        text=True,
        timeout=180,
        env={**os.environ, **environment},
    )
