"""Growth of time and memory with the data, the network, the batch size, the threads and the processes.

    python benchmarks/scaling.py --plot docs/images/performance-scaling.png
    python benchmarks/scaling.py --only batch_size --repeats 5

One factor at a time differs from a base: a million synthetic ratings in the shape of MovieLens 1M,
experiment=embedding-net with embedding_dim=50 and hidden=[100,200,300], batches of 2000, all cores. 10 and 32
million ratings have the numbers of users and items of MovieLens 10M and 32M, so that the embedding tables
grow too. Every measurement is a new process that trains a limited number of steps with the parts of
`recsys-train` on the CPU. Rounds of all points alternate; a point's figures are those of its fastest round,
because other load on the machine can only slow it down.

- epoch: seconds, extrapolated from the time of one shuffle and the speed of the measured steps (without the
  first 10 steps, validation and checkpoints);
- memory: peak of the process (ru_maxrss) minus the memory of its imports. The ratings are memory-mapped from
  a file, as in the dataset cache, and count as they are read;
- set-up: seconds to load and split the ratings and to build the network, without sampling and imports;
- exponent: slope of a linear fit in log-log scale; 1 means that cost is proportional to the factor.

Two processes with one thread each (DDP with gloo) are compared with one process with one thread; efficiency
is the ratio of the speeds divided by the number of processes.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.ticker import LogLocator
from scaling_point import CORES, SHAPES, Measurement, Point

from recsys.analysis.figures.style import BLUE, ORANGE, new_figure, styled, to_files

BASE = Point()
FACTORS: dict[str, list[Any]] = {
    "ratings": list(SHAPES),
    "embedding_dim": [25, 50, 100, 200, 400],
    "hidden": [0.5, 1, 2, 4],
    "batch_size": [500, 1000, 2000, 4000, 8000],
    "threads": [2**power for power in range(CORES.bit_length()) if 2**power <= CORES],
}
ONE_PROCESS = BASE._replace(threads=1)
DDP = {
    "one process": ONE_PROCESS,
    "two, same batch size each": ONE_PROCESS._replace(processes=2),
    "two, half the batch size each": ONE_PROCESS._replace(processes=2, batch_size=BASE.batch_size // 2),
}


def run_process(folder: Path, point: Point, budget: int) -> Measurement | None:
    """Write the ratings of a point to `folder` if it does not exist, else measure the point.

    Raises:
        SystemExit: the process failed; shows its error output.
    """
    script = Path(__file__).with_name("scaling_point.py")
    command = [sys.executable, str(script), str(folder), json.dumps(point), str(budget)]
    threads = {"OMP_NUM_THREADS": str(point.threads), "MKL_NUM_THREADS": str(point.threads)}
    process = subprocess.run(command, env=os.environ | threads, capture_output=True, text=True)
    if process.returncode != 0:
        sys.exit(f"{process.stderr}\n{point}: exit code {process.returncode}")
    return Measurement(*json.loads(process.stdout.splitlines()[-1])) if process.stdout.strip() else None


def measure_all(points: list[Point], repeats: int, budget: int) -> dict[Point, Measurement]:
    """Return the measurement of the fastest round of every point."""
    found: dict[Point, list[Measurement]] = {point: [] for point in points}
    with tempfile.TemporaryDirectory() as root:
        folders = {ratings: Path(root, str(ratings)) for ratings in {point.ratings for point in points}}
        for ratings, folder in folders.items():
            start = time.perf_counter()
            run_process(folder, BASE._replace(ratings=ratings), budget)
            print(f"sampled {ratings:,} ratings: {time.perf_counter() - start:.1f} s", file=sys.stderr)
        for turn in range(repeats):
            for point in points:
                measured = run_process(folders[point.ratings], point, budget)
                assert measured is not None
                found[point].append(measured)
                print(f"round {turn + 1} of {repeats}: {point}, {measured.speed:,.0f}/s", file=sys.stderr)
    return {point: max(rounds, key=lambda measured: measured.speed) for point, rounds in found.items()}


def exponent(values: list[float], costs: list[float]) -> float:
    """Return the slope in log-log scale; nan for a single value."""
    return float(np.polyfit(np.log(values), np.log(costs), 1)[0]) if len(values) > 1 else float("nan")


def print_factor(factor: str, found: dict[Point, Measurement]) -> None:
    """Print the table of a factor in Markdown."""
    print(f"\n| {factor} | ratings/s | epoch, s | memory, MB | set-up, s | steps |\n|{' ---: |' * 6}")
    measured = [found[BASE._replace(**{factor: value})] for value in FACTORS[factor]]
    for value, (speed, epoch, setup, memory, steps) in zip(FACTORS[factor], measured, strict=True):
        print(f"| {value:,} | {speed:,.0f} | {epoch:.2f} | {memory:,.0f} | {setup:.2f} | {steps:.0f} |")
    epoch, memory = (
        exponent(FACTORS[factor], [getattr(measurement, cost) for measurement in measured])
        for cost in ("epoch", "memory")
    )
    print(f"| exponent | | {epoch:.2f} | {memory:.2f} | | |")


def print_ddp(found: dict[Point, Measurement]) -> None:
    """Print the table of one and two processes in Markdown."""
    print("\n| processes | batch size | ratings/s | efficiency | memory per process, MB |\n|" + " ---: |" * 5)
    for name, point in DDP.items():
        speed, ratio = found[point].speed, found[point].speed / found[ONE_PROCESS].speed / point.processes
        print(f"| {name} | {point.batch_size} | {speed:,.0f} | {ratio:.2f} | {found[point].memory:,.0f} |")


@styled
def draw(factors: list[str], found: dict[Point, Measurement], path: Path) -> None:
    """Draw seconds per epoch (top) and memory (bottom), one column per factor."""
    figure = new_figure(2.3 * len(factors) + 0.8, 4.4)
    axes = figure.subplots(2, len(factors), squeeze=False, sharex="col", sharey="row")
    costs = (("epoch", "seconds per epoch", BLUE), ("memory", "memory, MB", ORANGE))
    for row, (cost, label, color) in zip(axes, costs, strict=True):
        row[0].set_ylabel(label)
        for axis, factor in zip(row, factors, strict=True):
            values = FACTORS[factor]
            height = [getattr(found[BASE._replace(**{factor: value})], cost) for value in values]
            axis.loglog(values, height, "o-", color=color, markersize=4)
            axis.set_title(f"exponent {exponent(values, height):.2f}")
            axis.set_xticks(values, [f"{v // 10**6 if factor == 'ratings' else v:g}" for v in values])
            axis.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axis.yaxis.set_major_formatter("{x:,.0f}")
            axis.minorticks_off()
    for axis, factor in zip(axes[1], factors, strict=True):
        units = {"ratings": "million ratings", "hidden": "hidden, times [100,200,300]"}
        axis.set_xlabel(units.get(factor, factor))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(to_files(figure)[0])


def main() -> None:
    """Measure all points, print the tables and draw the figure."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    choices = [*FACTORS, "ddp"]
    option = parser.add_argument
    option("--only", nargs="+", choices=choices, default=choices, metavar="FACTOR", help=", ".join(choices))
    option("--repeats", type=int, default=3, help="rounds (%(default)s)")
    option("--budget", type=int, default=200_000, help="approximate ratings per measurement (%(default)s)")
    option("--plot", type=Path, help="PNG file to write")
    args = parser.parse_args()
    factors = [factor for factor in FACTORS if factor in args.only]
    points = [BASE._replace(**{factor: value}) for factor in factors for value in FACTORS[factor]]
    points += DDP.values() if "ddp" in args.only else []
    found = measure_all(list(dict.fromkeys(points)), args.repeats, args.budget)
    print(f"{CORES} cores; base: {BASE}; the fastest of {args.repeats} rounds")
    for factor in factors:
        print_factor(factor, found)
    if "ddp" in args.only:
        print_ddp(found)
    if args.plot and factors:
        draw(factors, found, args.plot)


if __name__ == "__main__":
    main()
