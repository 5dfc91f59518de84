"""Sweep of short jobs with three launchers: jobs per minute, and overhead per job.

    python benchmarks/sweep.py --jobs 12 --epochs 20

Every row runs `recsys-train -m seed=range(jobs)` with a small embedding-net on synthetic ratings and another
hydra/launcher: `basic` is Hydra's and runs the jobs one after another in one process with all cores; `joblib`
is the plugin hydra-joblib-launcher (left out if it is not installed); `pool` is the default of this project.
Nothing else should run on the machine.

The work of a job is the time in its result.json, from loading data to testing; the table shows the median
over the jobs, because the first job of a process includes imports. Overhead per job is the remaining wall
time of the slots: start and end of the sweep, and start, composition, imports and end of each job.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path
from statistics import median

OVERRIDES = [
    "data=synthetic",
    "data.ratings=1000000",
    "data.users=6000",
    "data.items=3500",
    "batch_size=2000",
]
OVERRIDES += ["experiment=embedding-net", "data.step=0", "model.embedding_dim=16", "model.hidden=[32]"]
OVERRIDES += ["hardware=cpu", "schedule.cycle_epochs=1"]


def main() -> None:
    """Measure all launchers and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--jobs", type=int, default=12, help="jobs per sweep (%(default)s)")
    parser.add_argument("--epochs", type=int, default=5, help="epochs per job (%(default)s)")
    parser.add_argument(
        "--launchers",
        nargs="+",
        default=["basic", "joblib", "pool"],
        help="launchers to measure, in this order",
    )
    args = parser.parse_args()
    cores = os.cpu_count() or 1
    if not find_spec("hydra_plugins.hydra_joblib_launcher") and "joblib" in args.launchers:
        args.launchers.remove("joblib")
    first = 0.0
    columns = "{:<10}{:>9}{:>10}{:>8}{:>14}{:>16}"
    print(f"{args.jobs} jobs, {cores} cores")
    print(columns.format("launcher", "seconds", "jobs/min", "ratio", "work s/job", "overhead s/job"))
    for launcher in args.launchers:
        slots = 1 if launcher == "basic" else cores
        seconds, work = sweep(launcher, slots, args.jobs, args.epochs)
        first = first or seconds
        values = (
            seconds,
            60 * args.jobs / seconds,
            first / seconds,
            work,
            seconds * slots / args.jobs - work,
        )
        print(columns.format(launcher, *(f"{value:.2f}" for value in values)), flush=True)


def sweep(launcher: str, slots: int, jobs: int, epochs: int) -> tuple[float, float]:
    """Return the wall time of a sweep and the median time of its jobs."""
    command = [sys.executable, "-m", "recsys.cli.train", "-m", *OVERRIDES, f"seed=range({jobs})"]
    command += [f"max_epochs={epochs}", f"patience={epochs}", f"hydra/launcher={launcher}"]
    environment = dict(os.environ)
    if launcher == "joblib":
        command.append(f"hydra.launcher.n_jobs={slots}")
        environment["OMP_NUM_THREADS"] = str(max(1, (os.cpu_count() or 1) // slots))
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        subprocess.run(
            [*command, f"output_dir={folder}/sweep"], env=environment, check=True, capture_output=True
        )
        seconds = time.perf_counter() - start
        results = [json.loads(file.read_text()) for file in Path(folder).glob("sweep/*/result.json")]
    assert len(results) == jobs, "every job has a result"
    return seconds, median(result["time"]["seconds"] for result in results)


if __name__ == "__main__":
    main()
