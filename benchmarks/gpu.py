"""Check and measure everything on a GPU.

    python benchmarks/gpu.py --json gpu.json       # on a GPU; stops after eight minutes
    python benchmarks/gpu.py --device cpu          # the same code with tiny sizes, in under four minutes

Stage A compares the results of the device with those of the CPU. Stage B measures speed, memory and kernel launches,
also of common alternatives. If a part fails, it is reported and the next one starts. The exit code is 1 if a part
failed or did not end within the time limit, or if a value was wrong. Full training runs use MovieLens 100K if
RECSYS_MIRROR is set, and synthetic ratings otherwise.
"""

import argparse
import json
import logging
import os
import platform
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "passive")

# isort: split
import gpu_checks
import gpu_loops
import gpu_speed
import pytorch_lightning as pl
import torch
from gpu_rows import Row

import recsys

Part = Callable[[Path], Iterator[Row]]


def parts(device: str) -> dict[str, Part]:
    """Return all parts, in the order in which they run: short checks first."""
    is_tiny = device == "cpu"
    return {
        "steps": lambda _: gpu_checks.steps_are_equal(device),
        "runs": partial(gpu_checks.full_runs_are_equal, device),
        "resume": partial(gpu_checks.resumed_run_is_equal, device),
        "sweep-equality": partial(gpu_checks.sweep_is_equal, device),
        "answers": partial(gpu_checks.answers_are_equal, device),
        "ddp": partial(gpu_checks.ddp_works, device),
        "article": lambda folder: gpu_loops.article_network(device, folder, is_tiny),
        "default": lambda folder: gpu_speed.default_network(device, folder, is_tiny),
        "ml-25m": lambda folder: gpu_speed.large_data(device, folder, is_tiny),
        "sweep": lambda folder: gpu_speed.sweep(device, folder, is_tiny),
        "compiled": lambda folder: gpu_loops.compiled_article_network(device, folder, is_tiny),
    }


def run_part(name: str, part: Part, budget: float) -> tuple[list[Row], str]:
    """Run a part, print its rows as they come, and return them with an error message, empty if there is none.

    The part is stopped after `budget` seconds.
    """

    def stop(*_: object) -> None:
        raise TimeoutError(f"stopped after {budget:.0f} s")

    signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, budget)
    rows, begin = list[Row](), time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        try:
            for row in part(Path(folder)):
                rows.append(row)
                print(row, flush=True)
        except (Exception, SystemExit):  # the next part can still be measured
            traceback.print_exc()
            return rows, traceback.format_exc(limit=-1).splitlines()[-1]
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
    print(f"-- {name}: {time.monotonic() - begin:.0f} s", flush=True)
    return rows, ""


def main() -> None:
    """Run all parts, print their rows and write the JSON file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--parts", nargs="+", choices=list(parts("cpu")), help="parts to run (default: all)")
    parser.add_argument(
        "--time-limit",
        type=float,
        default=480,
        help="in s: a running part is then stopped, and later ones are skipped (%(default)s)",
    )
    parser.add_argument("--part-limit", type=float, default=240, help="in s: of each part (%(default)s)")
    parser.add_argument("--json", type=Path, help="file to write all figures to")
    args = parser.parse_args()
    if args.device == "cuda" and not torch.cuda.is_available():
        sys.exit("--device cuda: torch finds no GPU; use --device cpu")
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    name = torch.cuda.get_device_name() if args.device == "cuda" else platform.processor() or "CPU"
    versions = f"torch {torch.__version__}, Lightning {pl.__version__}, recsys {recsys.__version__}"
    print(f"{name}, {os.cpu_count()} cores; {versions}", flush=True)
    begin, found, errors = time.monotonic(), dict[str, list[Row]](), dict[str, str]()
    for part_name, part in parts(args.device).items():
        if args.parts and part_name not in args.parts:
            continue
        left = args.time_limit - (time.monotonic() - begin)
        if left <= 0:
            errors[part_name] = "left out: no time"
            continue
        found[part_name], error = run_part(part_name, part, min(left, args.part_limit))
        if error:
            errors[part_name] = error
        if args.json:  # after each part, so that a killed run leaves its figures
            content = {
                "device": name,
                "versions": versions,
                "rows": {part: [row._asdict() for row in rows] for part, rows in found.items()},
                "errors": errors,
            }
            args.json.write_text(json.dumps(content, indent=2), "utf-8")
    wrong = [row.name for rows in found.values() for row in rows if row.is_wrong]
    for part_name, error in errors.items():
        print(f"{part_name}: {error}")
    for row_name in wrong:
        print(f"WRONG: {row_name}")
    print(f"{time.monotonic() - begin:.0f} s")
    sys.exit(bool(errors or wrong))


if __name__ == "__main__":
    main()
