"""From a ratings file to encoded, split tensors: seconds and peak memory beside pandas, measured in one run.

    python benchmarks/ingestion.py
    python benchmarks/ingestion.py --rows 1000000 --colon-rows 400000 --python-rows 100000
    python benchmarks/ingestion.py --cold

The files are made up in the shape of ML-25M: 162,541 users and 59,047 items where there are enough rows for
them, sorted by user, then item. Every measurement is a process of its own, so that its peak memory is; the
clock starts after its imports, and the file is in the system's cache. Rounds of all rows alternate, so that a
busy minute meets every row; a ratio is the median over the rounds. Before each row, 2 GB are touched and
given back: the host of a virtual machine may lend memory only when it is touched, at up to 2 ms/MB, and would
be measured instead (--cold does measure it). The rows:

- pandas, read_csv + unique: the file as it comes, ids looked up in a dict; ends before any split;
- pandas, lean: named columns and types, then factorize; ends before any split;
- recsys: parsed, checked, encoded, fingerprinted, split by chance, in tensors;
- recsys, data=csv: the same, where ids may be text;
- recsys, zip member: the same as the row before last, unpacked as it is read; `unzip` is unpacking alone;
- recsys, first start: as the zip member, and written to the cache;
- recsys, second start: mapped from the cache; `+ split and tensors` is what follows;
- pandas, engine="python": a file with ::, which its other engines cannot read. Fewer rows are read, and
  seconds extrapolated;
- recsys, :: file: all rows of that file, to split tensors.
"""

import argparse
import itertools
import os
import resource
import shutil
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from statistics import median

import recsys  # before torch: it keeps idle OpenMP threads from spinning, in every row

# isort: split
import numpy as np
import pandas as pd
import pyarrow as pa
from pyarrow import csv

from recsys.data import splits
from recsys.data.batches import to_tensors
from recsys.data.cache import cached
from recsys.data.dataset import Dataset, encode
from recsys.data.ratings_file.format import RatingsFormat, TextSource
from recsys.data.ratings_file.read import read_ratings

USERS, ITEMS = 162_541, 59_047
SCALE = (0.5, 5.0)
NAMES = ("userId", "movieId", "rating", "timestamp")
COMMAS = RatingsFormat(",", NAMES, header=True, quoted=True)
TEXT_IDS = RatingsFormat(",", NAMES, header=True, quoted=True, text_ids=True)
COLONS = RatingsFormat("::")
NO_ITEMS = pd.DataFrame({"item": [], "title": [], "year": [], "genres": []})
LEAN, COLONS_PANDAS = "pandas, lean", 'pandas, engine="python"'


def made_up(rows: int) -> pa.Table:
    """About `rows` ratings, sorted by user, then item."""
    random = np.random.default_rng(0)
    users = min(USERS, max(rows // 150, 1))
    weight = np.minimum(random.lognormal(0, 1.1, users), 20)
    counts = 1 + random.multinomial(rows - users, weight / weight.sum())
    raw_items = np.sort(random.choice(210_000, ITEMS, replace=False)) + 1
    user = np.repeat(np.arange(users), counts)
    place = np.arange(rows) - np.repeat(np.cumsum(counts) - counts, counts)
    item = ((place + random.random(rows)) * (ITEMS / counts[user])).astype(np.int64).clip(max=ITEMS - 1)
    kept = np.append(True, np.diff(user * ITEMS + item) > 0)  # who rates most may meet a item twice
    columns = [user + 1, raw_items[item], random.integers(1, 11, rows) / 2]
    columns.append(random.integers(900_000_000, 1_570_000_000, rows))
    return pa.table([column[kept] for column in columns], names=list(NAMES))


def write_files(folder: Path, rows: int, colon_rows: int, python_rows: int) -> None:
    """The files that are read."""
    csv.write_csv(made_up(rows), folder / "ratings.csv", csv.WriteOptions(quoting_header="none"))
    with zipfile.ZipFile(folder / "set.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(folder / "ratings.csv", "ratings.csv")
    options = csv.WriteOptions(include_header=False, delimiter=":")
    csv.write_csv(made_up(colon_rows), folder / "single.dat", options)
    with open(folder / "single.dat", "rb") as single, open(folder / "ratings.dat", "wb") as double:
        lines = single.readlines()
        double.writelines(line.replace(b":", b"::") for line in lines)
    with open(folder / "few.dat", "wb") as few:
        few.writelines(line.replace(b":", b"::") for line in lines[:python_rows])


def pandas_unique(folder: Path) -> None:
    """As tutorials do."""
    frame = pd.read_csv(folder / "ratings.csv")
    for column in ("userId", "movieId"):
        rows = {id: row for row, id in enumerate(frame[column].unique())}
        frame[column] = frame[column].map(rows)


def pandas_lean(folder: Path) -> None:
    """As one who minds."""
    types = {"userId": "int32", "movieId": "int32", "rating": "float32", "timestamp": "int64"}
    frame = pd.read_csv(folder / "ratings.csv", usecols=list(NAMES), dtype=types)
    for column in ("userId", "movieId"):
        frame[column] = pd.factorize(frame[column], sort=True)[0].astype(np.int32)


def pandas_python(folder: Path) -> None:
    """The engine that knows separators of two characters."""
    frame = pd.read_csv(folder / "few.dat", sep="::", engine="python", names=list(NAMES))
    for column in ("userId", "movieId"):
        frame[column] = pd.factorize(frame[column], sort=True)[0]


def read(file: Path, form: RatingsFormat) -> Dataset:
    """One of recsys's own ways: a file, or the member of a zip archive."""
    if file.suffix != ".zip":
        text = TextSource(file.name, file.stat().st_size, lambda: file.open("rb"))
        return encode("benchmark", read_ratings(text, form, SCALE)[0], NO_ITEMS, SCALE)
    with zipfile.ZipFile(file) as archive:
        info = archive.getinfo("ratings.csv")
        text = TextSource(file.name, info.file_size, lambda: archive.open(info))
        return encode("benchmark", read_ratings(text, form, SCALE)[0], NO_ITEMS, SCALE)


def split_tensors(dataset: Dataset) -> None:
    """What comes before the first batch."""
    split = splits.RandomSplit()(dataset)
    for rows in (split.train, split.val, split.test):
        to_tensors(dataset, rows, "cpu")


def own(file: str, form: RatingsFormat, folder: Path) -> None:
    """Text to split tensors."""
    split_tensors(read(folder / file, form))


def nothing(folder: Path) -> None:
    """The memory that imports take in every row."""


def touch(folder: Path) -> None:
    """Borrow memory from a virtual machine's host; it is not asked back within seconds."""
    np.ones(2 << 30, dtype=np.uint8)


def unzip(folder: Path) -> None:
    """The least time in which the member of an archive can be read."""
    with zipfile.ZipFile(folder / "set.zip") as archive, archive.open("ratings.csv") as member:
        while member.read(1 << 22):
            pass


def start(folder: Path, fresh: bool = False, then: Callable[[Dataset], None] | None = None) -> None:
    """What every command does: the cached data set, built where it is not there yet."""
    os.environ["RECSYS_DATA"] = str(folder / ("fresh" if fresh else "data"))
    dataset = cached("benchmark", [], partial(read, folder / "set.zip", COMMAS))
    if then:
        then(dataset)


def report(measure: Callable[[Path], None], folder: Path) -> tuple[float, float]:
    """Seconds, and the peak memory of this process in GB."""
    begin = time.perf_counter()
    measure(folder)
    seconds = time.perf_counter() - begin
    return seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def in_own_process(function: Callable, *args: object) -> tuple[float, float]:
    """What it returns; a peak of memory cannot be forgotten, so nothing large may happen in this process."""
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        return pool.submit(function, *args).result()


def measure_all(args: argparse.Namespace) -> dict[str, list[tuple[float, float]]]:
    """Seconds and peak memory of every row, a pair for each round."""
    rows: dict[str, Callable[[Path], None]] = {
        "pandas, read_csv + unique": pandas_unique,
        LEAN: pandas_lean,
        "recsys": partial(own, "ratings.csv", COMMAS),
        "recsys, data=csv": partial(own, "ratings.csv", TEXT_IDS),
        "recsys, zip member": partial(own, "set.zip", COMMAS),
        "  unzip alone": unzip,
        "recsys, first start": partial(start, fresh=True),
        "recsys, second start": start,
        "  + split and tensors": partial(start, then=split_tensors),
        COLONS_PANDAS: pandas_python,
        "recsys, :: file": partial(own, "ratings.dat", COLONS),
        "  imports alone": nothing,
    }
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in rows}
    with tempfile.TemporaryDirectory(dir=args.folder) as name:
        folder = Path(name)
        print("writing the files", file=sys.stderr)
        in_own_process(write_files, folder, args.rows, args.colon_rows, args.python_rows)
        in_own_process(report, start, folder)
        for turn, row in itertools.product(range(args.repeats), rows):
            print(f"round {turn + 1} of {args.repeats}: {row}", file=sys.stderr)
            if not args.cold:
                in_own_process(report, touch, folder)
            seconds, peak = in_own_process(report, rows[row], folder)
            if row == COLONS_PANDAS:
                seconds *= args.colon_rows / args.python_rows
            found[row].append((seconds, peak))
            shutil.rmtree(folder / "fresh", ignore_errors=True)
    return found


def main() -> None:
    """Measure all rows and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    option = partial(parser.add_argument, metavar="N", type=int)
    option("--rows", default=25_000_000, help="of ratings.csv (%(default)s)")
    option("--colon-rows", default=10_000_000, help="of the file with :: (%(default)s)")
    option("--python-rows", default=1_000_000, help='of them for engine="python" (%(default)s)')
    option("--repeats", default=5, help="rounds (%(default)s)")
    parser.add_argument("--cold", action="store_true", help="leave the machine's memory as it is found")
    parser.add_argument("--folder", help="where the files are made up (default: where temporary files are)")
    args = parser.parse_args()
    args.python_rows = min(args.python_rows, args.colon_rows)
    found = measure_all(args)
    print(f"pandas {pd.__version__}, pyarrow {pa.__version__}, recsys {recsys.__version__};", end=" ")
    print(f"{os.cpu_count()} cores; {args.rows:,} rows, {args.colon_rows:,} with ::,", end=" ")
    print(f'of which engine="python" read {args.python_rows:,}\n')
    print(f"{'':<28}{'seconds':>9}{'lowest':>9}{'highest':>9}{'peak GB':>9}{'x faster':>10}  than")
    for name, of in found.items():
        rival = COLONS_PANDAS if "::" in name else LEAN
        ratio = median(theirs[0] / mine[0] for mine, theirs in zip(of, found[rival], strict=True))
        seconds = [one[0] for one in of]
        told = "".join(f"{pick(seconds):>9.2f}" for pick in (median, min, max))
        compared = f"{ratio:>10.2f}  {rival}" if not name.startswith(" ") and name != rival else ""
        print(f"{name:<28}{told}{median(one[1] for one in of):>9.2f}{compared}")


if __name__ == "__main__":
    main()
