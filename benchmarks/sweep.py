"""A sweep of short jobs under three launchers: jobs per minute, and what a job costs beside its own work.

    python benchmarks/sweep.py --jobs 12 --epochs 20

Every row is the same command, `recsys-train -m seed=range(jobs)` with a small embedding-net on synthetic
ratings and another hydra/launcher: `basic` is Hydra's own and trains one job after another in the sweep's
process, with all cores; `joblib` is the plugin hydra-joblib-launcher (left out where it is not installed);
`pool` is this project's default. Nothing else should run on the machine meanwhile.

A job's work is the time its result.json tells, from loading data to testing; the median over the jobs, since
the first ones of a process hold its imports. Overhead per job is the slots' wall time beyond that: a share of
the sweep's own start and end, and the job's start, composing, imports and end.
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

WORDS = ["data=synthetic", "data.ratings=1000000", "data.users=6000", "data.items=3500", "batch_size=2000"]
WORDS += ["experiment=embedding-net", "data.step=0", "model.embedding_dim=16", "model.hidden=[32]"]
WORDS += ["hardware=cpu", "schedule.cycle_epochs=1"]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--jobs", type=int, default=12, help="of each sweep")
    parser.add_argument("--epochs", type=int, default=5, help="of each job; choose about 20 seconds")
    parser.add_argument("--launchers", nargs="+", default=["basic", "joblib", "pool"], help="in this order")
    given = parser.parse_args()
    cores = os.cpu_count() or 1
    if not find_spec("hydra_plugins.hydra_joblib_launcher") and "joblib" in given.launchers:
        given.launchers.remove("joblib")
    first = 0.0
    columns = "{:<10}{:>9}{:>10}{:>8}{:>14}{:>16}"
    print(f"{given.jobs} jobs, {cores} cores")
    print(columns.format("launcher", "seconds", "jobs/min", "ratio", "work s/job", "overhead s/job"))
    for launcher in given.launchers:
        slots = 1 if launcher == "basic" else cores
        seconds, work = sweep(launcher, slots, given.jobs, given.epochs)
        first = first or seconds
        values = (
            seconds,
            60 * given.jobs / seconds,
            first / seconds,
            work,
            seconds * slots / given.jobs - work,
        )
        print(columns.format(launcher, *(f"{value:.2f}" for value in values)), flush=True)


def sweep(launcher: str, slots: int, jobs: int, epochs: int) -> tuple[float, float]:
    """Wall time of a sweep, and the median of what its jobs say they took."""
    command = [sys.executable, "-m", "recsys.cli.train", "-m", *WORDS, f"seed=range({jobs})"]
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
