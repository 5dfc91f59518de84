"""Time and peak memory from a ratings file to encoded, split tensors, compared with pandas.

    python benchmarks/ingestion.py
    python benchmarks/ingestion.py --rows 1000000 --colon-rows 400000 --python-rows 100000
    python benchmarks/ingestion.py --cold

The synthetic files have the shape of ML-25M: up to 162,541 users and 59,047 items, sorted by user, then item.
Every measurement is a new process, because peak memory is per process. The clock starts after the imports,
and the file is in the file cache. Rounds of all rows alternate, so that other load affects all of them; a
ratio is the median over the rounds. Before each row, 2 GB of memory are touched and freed: a virtual machine
may get memory from its host only when it is touched, at up to 2 ms/MB (--cold includes this cost). The rows:

- pandas, read_csv + unique: default options, ids looked up in a dict; no split;
- pandas, lean: named columns and types, then factorize; no split;
- recsys: parsed, checked, encoded, fingerprinted, split randomly, converted to tensors;
- recsys, data=table: the same, with ids that may be text;
- recsys, zip member: like `recsys`, decompressed while reading; `unzip alone` is the decompression;
- recsys, first start: like the zip member, and written to the cache;
- recsys, second start: memory-mapped from the cache; `+ split and tensors` adds these steps;
- pandas, engine="python": a file with ::, which the other engines cannot read. Fewer rows are read and the
  time is extrapolated;
- recsys, :: file: all rows of that file, to split tensors.
"""

import argparse
import itertools
import os
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

# As the commands do: idle OpenMP threads that spin slow a shared machine down. torch reads this when it is imported.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

# isort: split
import numpy as np
import pandas as pd
import pyarrow as pa
from memory import peak_memory
from pyarrow import csv

import recsys
from recsys.data.batches import to_tensors
from recsys.data.cache import cached
from recsys.data.dataset import Dataset, encode
from recsys.data.ratings_file.format import RatingsFormat, TextSource
from recsys.data.ratings_file.read import read_ratings
from recsys.data.splits import RandomSplit

USERS, ITEMS = 162_541, 59_047
SCALE = (0.5, 5.0)
NAMES = ("userId", "movieId", "rating", "timestamp")
COMMAS = RatingsFormat(",", NAMES, header=True, quoted=True)
TEXT_IDS = RatingsFormat(",", NAMES, header=True, quoted=True, text_ids=True)
COLONS = RatingsFormat("::")
NO_ITEMS = pd.DataFrame({"item": [], "title": [], "year": [], "genres": []})
LEAN, COLONS_PANDAS = "pandas, lean", 'pandas, engine="python"'


def random_ratings(rows: int) -> pa.Table:
    """Return about `rows` ratings, sorted by user, then item."""
    random = np.random.default_rng(0)
    users = min(USERS, max(rows // 150, 1))
    weight = np.minimum(random.lognormal(0, 1.1, users), 20)
    counts = 1 + random.multinomial(rows - users, weight / weight.sum())
    raw_items = np.sort(random.choice(210_000, ITEMS, replace=False)) + 1
    user = np.repeat(np.arange(users), counts)
    position = np.arange(rows) - np.repeat(np.cumsum(counts) - counts, counts)
    item = ((position + random.random(rows)) * (ITEMS / counts[user])).astype(np.int64).clip(max=ITEMS - 1)
    is_unique = np.append(True, np.diff(user * ITEMS + item) > 0)  # active users may draw an item twice
    columns = [user + 1, raw_items[item], random.integers(1, 11, rows) / 2]
    columns.append(random.integers(900_000_000, 1_570_000_000, rows))
    return pa.table([column[is_unique] for column in columns], names=list(NAMES))


def write_files(folder: Path, rows: int, colon_rows: int, python_rows: int) -> None:
    """Write the files to read."""
    csv.write_csv(random_ratings(rows), folder / "ratings.csv", csv.WriteOptions(quoting_header="none"))
    with zipfile.ZipFile(folder / "set.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(folder / "ratings.csv", "ratings.csv")
    options = csv.WriteOptions(include_header=False, delimiter=":")
    csv.write_csv(random_ratings(colon_rows), folder / "single.dat", options)
    with open(folder / "single.dat", "rb") as single, open(folder / "ratings.dat", "wb") as double:
        lines = single.readlines()
        double.writelines(line.replace(b":", b"::") for line in lines)
    with open(folder / "python.dat", "wb") as python:
        python.writelines(line.replace(b":", b"::") for line in lines[:python_rows])


def pandas_unique(folder: Path) -> None:
    """Read and encode as in tutorials."""
    frame = pd.read_csv(folder / "ratings.csv")
    for column in ("userId", "movieId"):
        rows = {id: row for row, id in enumerate(frame[column].unique())}
        frame[column] = frame[column].map(rows)


def pandas_lean(folder: Path) -> None:
    """Read and encode with explicit types."""
    types = {"userId": "int32", "movieId": "int32", "rating": "float32", "timestamp": "int64"}
    frame = pd.read_csv(folder / "ratings.csv", usecols=list(NAMES), dtype=types)
    for column in ("userId", "movieId"):
        frame[column] = pd.factorize(frame[column], sort=True)[0].astype(np.int32)


def pandas_python(folder: Path) -> None:
    """Read with the engine that supports separators of two characters."""
    frame = pd.read_csv(folder / "python.dat", sep="::", engine="python", names=list(NAMES))
    for column in ("userId", "movieId"):
        frame[column] = pd.factorize(frame[column], sort=True)[0]


def read(file: Path, form: RatingsFormat) -> Dataset:
    """Read a file, or the member of a zip archive, with recsys."""
    if file.suffix != ".zip":
        text = TextSource(file.name, file.stat().st_size, lambda: file.open("rb"))
        return encode("benchmark", read_ratings(text, form, SCALE)[0], NO_ITEMS, SCALE)
    with zipfile.ZipFile(file) as archive:
        info = archive.getinfo("ratings.csv")
        text = TextSource(file.name, info.file_size, lambda: archive.open(info))
        return encode("benchmark", read_ratings(text, form, SCALE)[0], NO_ITEMS, SCALE)


def split_tensors(dataset: Dataset) -> None:
    """Split the ratings and convert them to tensors."""
    split = RandomSplit()(dataset)
    for rows in (split.train, split.val, split.test):
        to_tensors(dataset, rows, "cpu")


def read_and_split(file: str, form: RatingsFormat, folder: Path) -> None:
    """Convert a file to split tensors."""
    split_tensors(read(folder / file, form))


def nothing(folder: Path) -> None:
    """Do nothing: measures the memory of the imports."""


def touch(folder: Path) -> None:
    """Touch 2 GB, so that the host of a virtual machine has provided them before the measurement."""
    np.ones(2 << 30, dtype=np.uint8)


def unzip(folder: Path) -> None:
    """Decompress the archive member without parsing it."""
    with zipfile.ZipFile(folder / "set.zip") as archive, archive.open("ratings.csv") as member:
        while member.read(1 << 22):
            pass


def start(folder: Path, fresh: bool = False, then: Callable[[Dataset], None] | None = None) -> None:
    """Load the cached dataset like every command, building it if it is missing."""
    os.environ["RECSYS_DATA"] = str(folder / ("fresh" if fresh else "data"))
    dataset = cached("benchmark", [], partial(read, folder / "set.zip", COMMAS))
    if then:
        then(dataset)


def report(measure: Callable[[Path], None], folder: Path) -> tuple[float, float]:
    """Return the wall time in seconds and the peak memory of this process in GB."""
    begin = time.perf_counter()
    measure(folder)
    seconds = time.perf_counter() - begin
    return seconds, peak_memory() / 2**10


def in_own_process(function: Callable, *args: object) -> tuple[float, float]:
    """Run a function in a new process, because peak memory cannot be reset, and return its result."""
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        return pool.submit(function, *args).result()


def measure_all(args: argparse.Namespace) -> dict[str, list[tuple[float, float]]]:
    """Return seconds and peak memory of every row, one pair per round."""
    rows: dict[str, Callable[[Path], None]] = {
        "pandas, read_csv + unique": pandas_unique,
        LEAN: pandas_lean,
        "recsys": partial(read_and_split, "ratings.csv", COMMAS),
        "recsys, data=table": partial(read_and_split, "ratings.csv", TEXT_IDS),
        "recsys, zip member": partial(read_and_split, "set.zip", COMMAS),
        "  unzip alone": unzip,
        "recsys, first start": partial(start, fresh=True),
        "recsys, second start": start,
        "  + split and tensors": partial(start, then=split_tensors),
        COLONS_PANDAS: pandas_python,
        "recsys, :: file": partial(read_and_split, "ratings.dat", COLONS),
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
    option("--rows", default=25_000_000, help="rows of ratings.csv (%(default)s)")
    option("--colon-rows", default=10_000_000, help="rows of the file with :: (%(default)s)")
    option("--python-rows", default=1_000_000, help='number of them for engine="python" (%(default)s)')
    option("--repeats", default=5, help="rounds (%(default)s)")
    parser.add_argument("--cold", action="store_true", help="do not touch memory before each row")
    parser.add_argument("--folder", help="folder for the files (default: the temporary folder)")
    args = parser.parse_args()
    args.python_rows = min(args.python_rows, args.colon_rows)
    found = measure_all(args)
    print(f"pandas {pd.__version__}, pyarrow {pa.__version__}, recsys {recsys.__version__};", end=" ")
    print(f"{os.cpu_count()} cores; {args.rows:,} rows, {args.colon_rows:,} with ::,", end=" ")
    print(f'of which engine="python" read {args.python_rows:,}\n')
    print(f"{'':<28}{'seconds':>9}{'lowest':>9}{'highest':>9}{'peak GB':>9}{'x faster':>10}  than")
    for name, measured in found.items():
        rival = COLONS_PANDAS if "::" in name else LEAN
        ratio = median(theirs[0] / mine[0] for mine, theirs in zip(measured, found[rival], strict=True))
        seconds = [seconds for seconds, _ in measured]
        times = "".join(f"{pick(seconds):>9.2f}" for pick in (median, min, max))
        compared = f"{ratio:>10.2f}  {rival}" if not name.startswith(" ") and name != rival else ""
        print(f"{name:<28}{times}{median(peak for _, peak in measured):>9.2f}{compared}")


if __name__ == "__main__":
    main()
