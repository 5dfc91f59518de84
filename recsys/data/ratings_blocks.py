"""Rating rows at once: blocks of whole lines, each through a columnar parser, several at a time.

Neither the text nor anything but the four columns is ever in memory as a whole.
"""

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from itertools import pairwise
from typing import IO, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray
from pyarrow import compute, csv
from tqdm import tqdm

from recsys.data.ratings_text import COLUMNS, RatingsFormat, RatingsText

BLOCK = 4 * 2**20  # bytes of text; its columns fit into a cache, and what every block costs is not felt
LONG = 50_000_000  # bytes of text that are worth a progress bar


class Block(NamedTuple):
    """The rows of a block: its columns in the order of COLUMNS, and whether (user, movie) strictly rises."""

    columns: list[NDArray]
    rising: bool


def read_blocks(
    text: RatingsText, form: RatingsFormat, header: list[str] | None, scale: tuple[float, float]
) -> pd.DataFrame | None:
    """All rows, or None where there are none or any is bad: which one, `ratings_rows` finds out.

    Args:
        text: what to read.
        form: how the rows stand in it.
        header: the names in its first line, if it has such a line.
        scale: the lowest and the highest rating possible.

    Returns:
        A frame with the columns user, movie (int64, or text), rating (float32), timestamp (int64; 0: unknown).
    """
    parse = partial(_parse, form=form, header=header, scale=scale)
    try:
        with text.open() as file, ThreadPoolExecutor(pa.cpu_count()) as pool, _bar(text) as bar:
            blocks = list(_in_turn(pool, parse, _cut(file, bar)))
    except pa.ArrowInvalid:
        return None
    rising = all(block.rising for block in blocks) and all(
        _pair(one, -1) < _pair(other, 0) for one, other in pairwise(blocks)
    )
    columns = [_join([block.columns.pop(0) for block in blocks]) for _ in COLUMNS]
    if not blocks or not rising and _has_duplicates(*columns[:2]):
        return None
    return pd.DataFrame(dict(zip(COLUMNS, columns, strict=True)), copy=False)


def _bar(text: RatingsText) -> tqdm:
    """Silent (None: by itself, where standard error is no terminal) unless people would wait."""
    quiet = None if text.size > LONG else True
    return tqdm(total=text.size, desc=text.name, unit="B", unit_scale=True, leave=False, disable=quiet)


def _cut(file: IO[bytes], bar: tqdm) -> Iterator[tuple[bytes, bool]]:
    """Blocks that end with a line, and whether each is the first."""
    rest, first = b"", True
    while more := file.read(BLOCK):
        bar.update(len(more))
        data = rest + more
        end = (data.rfind(b"\n") if b"\n" in data else data.rfind(b"\r")) + 1
        if not end and len(data) >= BLOCK:
            raise pa.ArrowInvalid("a line is longer than a block")
        if end:
            yield data[:end], first
            first = False
        rest = data[end:]
    if rest:
        yield rest, first


def _in_turn(
    pool: ThreadPoolExecutor, parse: Callable[[bytes, bool], Block], blocks: Iterator[tuple[bytes, bool]]
) -> Iterator[Block]:
    """What `pool.map` gives, without running ahead of the parser."""
    waiting: deque[Future[Block]] = deque()
    for block in blocks:
        waiting.append(pool.submit(parse, *block))
        if len(waiting) > 2 * pa.cpu_count():
            yield waiting.popleft().result()
    yield from (future.result() for future in waiting)


def _parse(
    data: bytes, first: bool, form: RatingsFormat, header: list[str] | None, scale: tuple[float, float]
) -> Block:
    """The columns of a block; ArrowInvalid where a value is missing or cannot be right."""
    data = form.delimited(data)
    names = header or form.names
    places = [str(names.index(name)) for name in form.names]  # names may come twice; places do not
    ids = pa.dictionary(pa.int32(), pa.string()) if form.text_ids else pa.int64()
    table = csv.read_csv(
        pa.BufferReader(data),
        read_options=csv.ReadOptions(
            column_names=[str(place) for place in range(len(names))],
            skip_rows=1 if header and first else 0,
            block_size=len(data) + 1,
            use_threads=False,
        ),
        parse_options=csv.ParseOptions(
            delimiter=form.delimiter, quote_char='"' if form.quoted else False, ignore_empty_lines=False
        ),
        convert_options=csv.ConvertOptions(
            column_types=dict(zip(places, [ids, ids, pa.float32(), pa.int64()], strict=False)),
            include_columns=places,
            null_values=[],  # what is missing is then no number either
        ),
    )
    if not len(table):
        raise pa.ArrowInvalid("no rows")
    columns = [column.chunk(0) for column in table.columns]
    users, movies = (_ids(column) if form.text_ids else column.to_numpy() for column in columns[:2])
    ratings = columns[2].to_numpy()
    times = columns[3].to_numpy() if len(columns) == 4 else np.zeros(len(table), dtype=np.int64)
    if not ((ratings >= scale[0]) & (ratings <= scale[1])).all() or (times < 0).any():
        raise pa.ArrowInvalid("a value is off its scale")
    return Block([users, movies, ratings, times], _is_rising(users, movies))


def _ids(column: pa.DictionaryArray) -> NDArray:
    """Ids as int64 where every one is the plain spelling of a whole number ("007" is not), else as text."""
    words = compute.utf8_trim_whitespace(column.dictionary)
    if compute.any(compute.equal(words, "")).as_py():
        raise pa.ArrowInvalid("an id is empty")
    numbers = plain_numbers(words)
    values = words.to_numpy(zero_copy_only=False) if numbers is None else numbers
    return values[column.indices.to_numpy()]


def plain_numbers(words: pa.Array) -> NDArray[np.int64] | None:
    """Text as numbers, if every word is the plain spelling of a whole number of 64 bits."""
    try:
        numbers = words.cast(pa.int64())
    except pa.ArrowInvalid:
        return None
    return numbers.to_numpy() if numbers.cast(pa.string()).equals(words) else None


def _is_rising(users: NDArray, movies: NDArray) -> bool:
    if object in (users.dtype, movies.dtype):
        return False
    same = users[1:] == users[:-1]
    return bool(((users[1:] > users[:-1]) | (same & (movies[1:] > movies[:-1]))).all())


def _pair(block: Block, row: int) -> tuple[int, int]:
    return block.columns[0][row], block.columns[1][row]


def _join(parts: list[NDArray]) -> NDArray:
    """One column; numbers are text again where another block holds text, spelled as they were."""
    if any(part.dtype == object for part in parts):
        parts = [part if part.dtype == object else part.astype(str).astype(object) for part in parts]
    return np.concatenate(parts) if parts else np.empty(0)


def _has_duplicates(users: NDArray, movies: NDArray) -> bool:
    """Whether a pair comes twice; sorting numbers takes less time and memory than hashing them."""
    if object in (users.dtype, movies.dtype) or min(users.min(), movies.min()) < 0:
        return bool(pd.DataFrame({"user": users, "movie": movies}, copy=False).duplicated().any())
    span = int(movies.max()) + 1
    if int(users.max()) >= 2**63 // span - 1:
        return bool(pd.DataFrame({"user": users, "movie": movies}, copy=False).duplicated().any())
    pairs = users * span
    pairs += movies
    pairs.sort()
    return bool((pairs[1:] == pairs[:-1]).any())
