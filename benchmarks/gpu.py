"""Check and measure everything on a GPU, in about eight minutes.

    python benchmarks/gpu.py --json gpu.json
    python benchmarks/gpu.py --device cpu          # the same code with tiny sizes, in under four minutes

Stage A compares what the device computes with the CPU; stage B measures speed, memory and launches, and common
alternatives in the same run. A part that fails is reported, and the next one starts. Ends with exit code 1 if a part
failed or a value was wrong. Whole runs use MovieLens 100K if RECSYS_MIRROR is set, and synthetic ratings otherwise.
"""

import argparse
import json
import logging
import os
import platform
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
    """Return all parts, in the order in which they run: first what is cheap and what everything depends on."""
    is_tiny = device == "cpu"
    return {
        "steps": lambda _: gpu_checks.steps_are_equal(device),
        "runs": partial(gpu_checks.runs_are_as_good, device),
        "resume": partial(gpu_checks.resumed_run_is_equal, device),
        "sweep-equality": partial(gpu_checks.sweep_is_equal, device),
        "answers": partial(gpu_checks.run_answers, device),
        "ddp": partial(gpu_checks.ddp_works, device),
        "article": lambda folder: gpu_loops.article_network(device, folder, is_tiny),
        "default": lambda folder: gpu_speed.default_network(device, folder, is_tiny),
        "sweep": lambda folder: gpu_speed.sweep(device, folder, is_tiny),
    }


def run_part(name: str, part: Part, budget: float) -> tuple[list[Row], str]:
    """Return the rows of a part, which are printed as they come, and its error; stop after `budget` seconds."""
    rows, begin = list[Row](), time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        try:
            for row in part(Path(folder)):
                rows.append(row)
                print(row, flush=True)
                if time.monotonic() - begin > budget:
                    return rows, f"stopped after {budget:.0f} s"
        except Exception:  # the next part can still be measured
            traceback.print_exc()
            return rows, traceback.format_exc(limit=-1).splitlines()[-1]
    print(f"-- {name}: {time.monotonic() - begin:.0f} s", flush=True)
    return rows, ""


def main() -> None:
    """Run all parts, print their rows and write the JSON file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--parts", nargs="+", choices=list(parts("cpu")), help="only these (default: all)")
    parser.add_argument(
        "--seconds", type=float, default=480, help="parts that start later are left out (%(default)s)"
    )
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
        left = args.seconds - (time.monotonic() - begin)
        if left <= 0:
            errors[part_name] = "left out: no time"
            continue
        found[part_name], error = run_part(part_name, part, left)
        if error:
            errors[part_name] = error
    if args.json:
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
