"""The tables of docs/results.md: every protocol, every model, from the result.json of each run.

    python benchmarks/accuracy.py outputs/accuracy
    python benchmarks/accuracy.py outputs/accuracy --protocols ml-100k-folds ml-100k-u1 --jobs 2

A run that has its result in the folder is not run again, so that the table can be made piece by piece, and
printed again without any run. Runs have one thread each (--threads), as many at once as --jobs says; seconds
are those of a run, so compare them only where --jobs was the same. Errors are those of the test part, pooled
over its pairs; over several folds or seeds their mean and standard deviation. With --python, the libraries of
peers.py follow, over the same folds.
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
    """A split that everybody is measured on.

    Attributes:
        title: in words.
        words: of the command line, for models that the experiment file does not name.
        experiment: the file for the default network.
        repeats: one word for each run.
    """

    title: str
    words: str
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
ALONE = "snapshots=1 patience=10"
ADAM = f"{ALONE} optimizer=adam optimizer.weight_decay=7e-5 l2.biases=0 l2.vectors=0"
ADAMW = f"{ALONE} optimizer=adamw optimizer.weight_decay=0 optimizer.lr=3e-3 l2.biases=0.01"
MODELS = {
    "bias": f"model=bias {ADAM} optimizer.lr=0.01 schedule.cycle_epochs=6",
    "matrix-factorization": f"model=matrix-factorization {ADAMW} l2.vectors=0.1 schedule.cycle_epochs=6",
    "embedding-net": "experiment=embedding-net",
    "neumf": f"model=neumf {ADAMW} l2.vectors=0.05 schedule.cycle_epochs=3",
}
ARTICLE = {  # on its own protocol alone
    "the article's network": "experiment=zaitsev-2018",
    "the article's network, averaged": "experiment=zaitsev-2018-averaged",
}


def rows_of(name: str) -> Iterator[tuple[str, str]]:
    """Models of a protocol, and the words of their command without the repeat."""
    protocol = PROTOCOLS[name]
    for model, words in MODELS.items():
        yield model, f"{protocol.words} {words}".strip()
    if name == "ml-1m-80-20":
        yield from ARTICLE.items()
    yield "history", f"experiment={protocol.experiment}"


def folders(under: Path, name: str, model: str) -> list[Path]:
    """Where the runs of a row are, one for each repeat."""
    plain = re.sub(r"\W+", "-", model)  # as a word of a command line
    return [under / name / plain / str(n) for n in range(len(PROTOCOLS[name].repeats))]


def run(folder: Path, words: str, more: list[str], threads: int) -> None:
    """Train into `folder`, unless it has a result.

    Raises:
        SystemExit: the run failed; its own words are passed on.
    """
    if (folder / "result.json").exists():
        return
    command = [sys.executable, "-m", "recsys.cli.train", *shlex.split(words), f"output_dir={folder}"]
    command += ["hydra.mode=RUN", "hardware=cpu", "logger=none", "ranking.k=0", *more]
    environment = os.environ | {"OMP_NUM_THREADS": str(threads)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"{done.stderr}\n{shlex.join(command)}: exit code {done.returncode}")
    print(f"{folder}: {json.loads((folder / 'result.json').read_text())['metrics']}", file=sys.stderr)


def line(model: str, words: str, repeats: tuple[str, ...], results: list[dict[str, Any]]) -> str:
    """One line of a table."""

    def mean(metric: str) -> str:
        values = [result["metrics"][metric] for result in results]
        spread = f" ± {statistics.stdev(values):.4f}" if len(values) > 1 else ""
        return f"{statistics.fmean(values):.4f}{spread}"

    parameters = results[0]["model"]["parameters"]
    seconds = statistics.fmean(result["time"]["seconds"] for result in results)
    swept = f" -m '{repeats[0].split('=')[0]}=range({len(repeats)})'" if len(repeats) > 1 else ""
    if "experiment=ml-100k-folds" in words:
        swept = ""  # the file sweeps by itself
    command = f"recsys-train{swept} {words}".strip()
    return (
        f"| {model} | {mean('test/rmse')} | {mean('test/mae')} | {mean('val/rmse')} "
        f"| {parameters:,} | {seconds:.0f} | `{command}` |"
    )


def main() -> None:
    """Run what is missing and print the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="of the runs")
    parser.add_argument("--protocols", nargs="+", choices=list(PROTOCOLS), default=list(PROTOCOLS))
    parser.add_argument("--models", nargs="+", help="rows (all)")
    parser.add_argument("--jobs", type=int, default=1, help="runs at once (%(default)s)")
    parser.add_argument("--threads", type=int, default=1, help="of a run (%(default)s)")
    parser.add_argument("--with", nargs="*", default=[], dest="more", help="further words of every command")
    parser.add_argument("--print-only", action="store_true", help="leave out what has no result")
    parser.add_argument(
        "--python",
        action="append",
        metavar="PACKAGE=PATH",
        help="also other libraries over the folds of ML-100K, in these environments (see peers.py)",
    )
    args = parser.parse_args()
    todo: list[tuple[Path, str]] = []
    for name in args.protocols:
        for model, words in rows_of(name):
            if args.models is None or model in args.models:
                places = folders(args.folder.absolute(), name, model)
                repeated = [f"{words} {repeat}" for repeat in PROTOCOLS[name].repeats]
                todo += zip(places, repeated, strict=True)
    if not args.print_only:
        with ThreadPoolExecutor(args.jobs) as pool:
            for _ in pool.map(lambda one: run(one[0], one[1], args.more, args.threads), todo):
                pass
    for name in args.protocols:
        protocol = PROTOCOLS[name]
        print(f"\n## {protocol.title}\n")
        print("| model | test RMSE | test MAE | val RMSE | parameters | seconds | command |")
        print("| --- | ---: | ---: | ---: | ---: | ---: | --- |")
        baselines = None
        lines = []
        for model, words in rows_of(name):
            files = [folder / "result.json" for folder in folders(args.folder, name, model)]
            if all(file.exists() for file in files):
                results = [json.loads(file.read_text()) for file in files]
                baselines = baselines or results
                lines.append(line(model, words, protocol.repeats, results))
        for baseline in ("global-mean", "user-item-bias") if baselines else ():
            values = [result["baselines"][baseline] for result in baselines or []]
            rmse, mae = (
                statistics.fmean(value[f"test/{key}"] for value in values) for key in ("rmse", "mae")
            )
            print(f"| {baseline} | {rmse:.4f} | {mae:.4f} | | | | |")
        print("\n".join(lines))
    if args.python and not args.print_only:
        print("\n## Other libraries on the same folds\n", flush=True)
        interpreters = [word for one in args.python for word in ("--python", one)]
        subprocess.run([sys.executable, str(Path(__file__).with_name("peers.py")), *interpreters], check=True)


if __name__ == "__main__":
    main()
