"""The tables of docs/results.md: every protocol, every model, from the result.json of each run.

    python benchmarks/accuracy.py outputs/accuracy
    python benchmarks/accuracy.py outputs/accuracy --protocols ml-100k-folds ml-100k-u1 --jobs 2

Runs that already have a result.json in the folder are skipped, so the tables can be made in several calls and
printed again without training. Runs use one thread each (--threads), --jobs of them in parallel; seconds are
those of a run, so compare them only for equal --jobs. Errors are pooled over all ratings of the test set; for
several folds or seeds, their mean and standard deviation. --peers also measures libraries on the same splits:

    python benchmarks/accuracy.py outputs/accuracy --protocols ml-100k-folds --peers "myFM, ordered probit"
"""

import argparse
import json
import os
import re
import shlex
import statistics
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple


class Protocol(NamedTuple):
    """A split on which all models are compared.

    Attributes:
        title: heading of its table.
        overrides: selects the split, for models without an experiment file.
        experiment: experiment file of the default network.
        repeats: one override per run.
    """

    title: str
    overrides: str
    experiment: str
    repeats: tuple[str, ...] = ("seed=1",)


FOLDS = tuple(f"split.fold={fold}" for fold in range(5))
ML_1M = "data=ml-1m batch_size=2000"
PROTOCOLS = {
    "ml-100k-folds": Protocol(
        "ML-100K, five random folds", "data=ml-100k split=kfold", "ml-100k-folds", FOLDS
    ),
    "ml-100k-u1": Protocol(
        "ML-100K, fold u1 of GroupLens", "data=ml-100k split=official split.fold=u1", "ml-100k-u1"
    ),
    "ml-1m-80-20": Protocol("ML-1M, random 80/20", f"{ML_1M} split.test=0.2 split.val=0.04", "ml-1m-80-20"),
    "ml-1m-90-10": Protocol("ML-1M, random 90/10", f"{ML_1M} split.test=0.1 split.val=0.045", "ml-1m-90-10"),
}
METRICS = ("test/rmse", "test/mae", "test/ndcg@10")  # columns of the baselines
SINGLE_MODEL = "snapshots=1 patience=10"
ADAM = f"{SINGLE_MODEL} optimizer=adam optimizer.weight_decay=7e-5 l2.biases=0 l2.vectors=0"
ADAMW = f"{SINGLE_MODEL} optimizer=adamw optimizer.weight_decay=0 optimizer.lr=3e-3 l2.biases=0.01"
MODELS = {
    "bias": f"model=bias {ADAM} optimizer.lr=0.01 schedule.cycle_epochs=6",
    "matrix-factorization": f"model=matrix-factorization {ADAMW} l2.vectors=0.1 schedule.cycle_epochs=6",
    "embedding-net": "experiment=embedding-net",
    "neumf": f"model=neumf {ADAMW} l2.vectors=0.05 schedule.cycle_epochs=3",
}
ARTICLE = {  # only on its own protocol
    "the article's network": "experiment=zaitsev-2018",
    "the article's network, averaged": "experiment=zaitsev-2018-averaged",
}


def models_of(name: str) -> Iterator[tuple[str, str]]:
    """Yield the models of a protocol and their overrides without the repeat."""
    protocol = PROTOCOLS[name]
    for model, overrides in MODELS.items():
        yield model, f"{protocol.overrides} {overrides}".strip()
    if name == "ml-1m-80-20":
        yield from ARTICLE.items()
    yield "history", f"experiment={protocol.experiment}"


def run_folders(root: Path, name: str, model: str) -> list[Path]:
    """Return the folders of the runs of a table row, one per repeat."""
    slug = re.sub(r"\W+", "-", model)
    return [root / name / slug / str(n) for n in range(len(PROTOCOLS[name].repeats))]


def run(folder: Path, overrides: str, further: list[str], threads: int) -> None:
    """Train into `folder`, unless it has a result.

    Raises:
        SystemExit: the run failed; shows its error output.
    """
    if (folder / "result.json").exists():
        return
    command = [sys.executable, "-m", "recsys.cli.train", *shlex.split(overrides), f"output_dir={folder}"]
    command += ["hydra.mode=RUN", "hardware=cpu", "logger=none", *further]
    environment = os.environ | {"OMP_NUM_THREADS": str(threads)}
    process = subprocess.run(command, env=environment, capture_output=True, text=True)
    if process.returncode != 0:
        sys.exit(f"{process.stderr}\n{shlex.join(command)}: exit code {process.returncode}")
    print(f"{folder}: {json.loads((folder / 'result.json').read_text())['metrics']}", file=sys.stderr)


def table_row(model: str, overrides: str, repeats: tuple[str, ...], results: list[dict[str, Any]]) -> str:
    """Return a table row in Markdown."""

    def mean(metric: str) -> str:
        values = [result["metrics"][metric] for result in results if metric in result["metrics"]]
        if not values:
            return ""  # experiments with ranking.k=0
        spread = f" ± {statistics.stdev(values):.4f}" if len(values) > 1 else ""
        return f"{statistics.fmean(values):.4f}{spread}"

    parameters = results[0]["model"]["parameters"]
    seconds = statistics.fmean(result["time"]["seconds"] for result in results)
    sweep = f" -m '{repeats[0].split('=')[0]}=range({len(repeats)})'" if len(repeats) > 1 else ""
    if "experiment=ml-100k-folds" in overrides:
        sweep = ""  # the experiment file contains the sweep
    command = f"recsys-train{sweep} {overrides}".strip()
    return (
        f"| {model} | {mean('test/rmse')} | {mean('test/mae')} | {mean('test/ndcg@10')} | {mean('val/rmse')} "
        f"| {parameters:,} | {seconds:.0f} | `{command}` |"
    )


def baseline_cell(values: list[dict[str, float]], metric: str) -> str:
    """Return the mean of a metric of a baseline over runs; empty if the baseline does not have it."""
    found = [value[metric] for value in values if metric in value]
    return f"{statistics.fmean(found):.4f}" if found else ""


def main() -> None:
    """Train missing runs and print the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="folder of the runs")
    parser.add_argument("--protocols", nargs="+", choices=list(PROTOCOLS), default=list(PROTOCOLS))
    parser.add_argument("--models", nargs="+", help="models to show (all)")
    parser.add_argument("--jobs", type=int, default=1, help="parallel runs (%(default)s)")
    parser.add_argument("--threads", type=int, default=1, help="threads per run (%(default)s)")
    parser.add_argument("--with", nargs="*", default=[], dest="further", help="further overrides of all runs")
    parser.add_argument(
        "--print-only", action="store_true", help="train nothing, leave out models without results"
    )
    parser.add_argument(
        "--peers", nargs="+", default=[], metavar="ROW", help="also measure these rows of peers.py"
    )
    parser.add_argument(
        "--python",
        action="append",
        default=[],
        metavar="PACKAGE=PATH",
        help="environment of a library of --peers, if it is not installed in this one (see peers.py)",
    )
    args = parser.parse_args()
    runs: list[tuple[Path, str]] = []
    for name in args.protocols:
        for model, overrides in models_of(name):
            if args.models is None or model in args.models:
                folders = run_folders(args.folder.absolute(), name, model)
                repeated = [f"{overrides} {repeat}" for repeat in PROTOCOLS[name].repeats]
                runs += zip(folders, repeated, strict=True)
    if not args.print_only:
        with ThreadPoolExecutor(args.jobs) as pool:
            for _ in pool.map(lambda job: run(job[0], job[1], args.further, args.threads), runs):
                pass
    for name in args.protocols:
        protocol = PROTOCOLS[name]
        print(f"\n## {protocol.title}\n")
        print("| model | test RMSE | test MAE | test NDCG@10 | val RMSE | parameters | seconds | command |")
        print("| --- | ---: | ---: | ---: | ---: | ---: | ---: | --- |")
        baselines = None
        rows = []
        for model, overrides in models_of(name):
            files = [folder / "result.json" for folder in run_folders(args.folder, name, model)]
            if all(file.exists() for file in files):
                results = [json.loads(file.read_text()) for file in files]
                baselines = results  # the last ones also have popularity
                rows.append(table_row(model, overrides, protocol.repeats, results))
        for baseline in ("global-mean", "user-item-bias", "popularity") if baselines else ():
            values = [result["baselines"].get(baseline, {}) for result in baselines or []]
            print(f"| {baseline} | {' | '.join(baseline_cell(values, name) for name in METRICS)} | | | | |")
        print("\n".join(rows))
    if args.peers and not args.print_only:
        options = ["--rows", *args.peers, *(word for choice in args.python for word in ("--python", choice))]
        for name in args.protocols:
            protocol = PROTOCOLS[name]
            print(f"\n## Other libraries: {protocol.title}\n", flush=True)
            split = [] if protocol.repeats == FOLDS else ["--split", *protocol.overrides.split()]
            command = [sys.executable, str(Path(__file__).with_name("peers.py")), *options, *split]
            subprocess.run(command, check=True)


if __name__ == "__main__":
    main()
