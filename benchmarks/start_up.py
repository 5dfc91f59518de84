"""Start-up time of `recsys-train --help` and of a training run of one batch, compared with bare imports.

    python benchmarks/start_up.py

Every measurement is a new process; rounds of all rows alternate. The bare imports are those of torch and
Lightning in an unmodified Python.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

BARE = "import torch, pytorch_lightning"
TRAIN = ["experiment=embedding-net", "data=synthetic", "data.step=0", "data.ratings=1000"]
TRAIN += ["max_epochs=1", "logger=tensorboard"]
ROWS = {
    "bare imports": [sys.executable, "-c", BARE],
    "recsys-train --help": [sys.executable, "-m", "recsys.cli.train", "--help"],
    "one batch": [sys.executable, "-m", "recsys.cli.train", *TRAIN],
}


def seconds(command: list[str]) -> float:
    """Return the wall time of a command, which must succeed."""
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        if command[-1] != "--help" and "-m" in command:
            command = [*command, f"output_dir={Path(folder, 'run')}"]
        subprocess.run(command, cwd=folder, env=os.environ, capture_output=True, check=True)
        return time.perf_counter() - start


def main() -> None:
    """Measure all rows and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=5, help="rounds (%(default)s)")
    repeats = parser.parse_args().repeats
    found: dict[str, list[float]] = {name: [] for name in ROWS}
    for command in ROWS.values():
        seconds(command)  # fills the file cache
    for _ in range(repeats):
        for name, command in ROWS.items():
            found[name].append(seconds(command))
    print(f"{'':<22} seconds   lowest  highest  x bare imports")
    for name, values in found.items():
        ratio = median(own / bare for own, bare in zip(values, found["bare imports"], strict=True))
        print(f"{name:<22} {median(values):7.2f}  {min(values):7.2f}  {max(values):7.2f}  {ratio:14.2f}")


if __name__ == "__main__":
    main()
