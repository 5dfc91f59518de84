"""Rating rows at once: blocks of whole lines, each through a columnar parser, several at a time.

Neither the text nor anything but the four columns is ever in memory as a whole.
"""

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import IO, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray
from pyarrow import compute, csv
from tqdm import tqdm

from recsys.data.ratings_file.format import COLUMNS, RatingsFormat, RatingsText

AHEAD = 2 * pa.cpu_count()  # blocks that wait for a parser
BLOCK = 4 * 2**20  # bytes of text; its columns fit into a cache, and what every block costs is not felt
LONG = 50_000_000  # bytes of text that are worth a progress bar


class Block(NamedTuple):
    """A block's rows: COLUMNS, how many bytes they were, and whether their (user, item) strictly rise.

    Whole numbers as ids have 32 bits where all of the block fit into as many.
    """

    columns: list[NDArray]
    size: int
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
        A frame with the columns user, item (int32, int64 or text: the first that holds all), rating
        (float32), timestamp (int64; 0: unknown).
    """
    parse = partial(_parse, form=form, header=header, scale=scale)
    table = _Table(text.size)
    try:
        with text.open() as file, ThreadPoolExecutor(pa.cpu_count()) as pool, _bar(text) as bar:
            for block in _in_turn(pool, parse, _cut(file, bar)):
                table.add(block)
    except pa.ArrowInvalid:
        return None
    columns = [column[: table.rows] for column in table.columns]
    if not table.rows or (not table.rising and _has_duplicates(*columns[:2])):
        return None
    return pd.DataFrame(dict(zip(COLUMNS, columns, strict=True)), copy=False)


class _Table:
    """Columns that grow by blocks.

    From the first block on there is room for as many rows as its lines let expect in `size` bytes: room that
    is never used takes no memory, and rows that had to be moved would take it twice.
    """

    def __init__(self, size: int) -> None:
        self.size, self.rows, self.rising = size, 0, True
        self.columns: list[NDArray] = []

    def add(self, block: Block) -> None:
        start, self.rows = self.rows, self.rows + len(block.columns[0])
        if not self.columns:
            room = int(1.1 * self.rows * max(self.size / block.size, 1))
            self.columns = [np.empty(room, dtype=part.dtype) for part in block.columns]
        while len(self.columns[0]) < self.rows:
            self.columns = [np.concatenate([column, np.empty_like(column)]) for column in self.columns]
        for place, part in enumerate(block.columns):
            if place < 2:  # ids are text all over where any block holds text
                if object in (part.dtype, self.columns[place].dtype):
                    part = _as_text(part)
                    self.columns[place] = _as_text(self.columns[place], start)
                elif part.dtype == np.int64:
                    self.columns[place] = self.columns[place].astype(np.int64, copy=False)
            self.columns[place][start : self.rows] = part
        users, items = self.columns[:2]
        self.rising = self.rising and block.rising
        if self.rising and start:
            self.rising = (users[start - 1], items[start - 1]) < (users[start], items[start])


def _bar(text: RatingsText) -> tqdm:
    """Progress in bytes, where people would wait and standard error is a terminal."""
    disable = None if text.size > LONG else True  # None: unless it is a terminal
    return tqdm(total=text.size, desc=text.name, unit="B", unit_scale=True, leave=False, disable=disable)


def _cut(file: IO[bytes], bar: tqdm) -> Iterator[tuple[bytearray, int, bool]]:
    """Blocks: a buffer, the bytes in it, which end with a line, and whether they are the first.

    The buffers come again in turn: memory that is new to a process costs more than the bytes put there.
    """
    rest, first = b"", True
    buffers: deque[bytearray] = deque()
    while True:
        buffers.append(buffers.popleft() if len(buffers) > AHEAD else bytearray(BLOCK))
        buffer = buffers[-1]
        buffer[: len(rest)] = rest
        room = memoryview(buffer)[len(rest) :]
        stop = len(rest) + file.readinto(room)  # type: ignore[attr-defined]  # typing.IO forgets it
        end = buffer.rfind(b"\n") + 1 if stop == BLOCK else stop
        if not stop:
            return
        if not end:
            raise pa.ArrowInvalid("a line is longer than a block")
        rest = bytes(buffer[end:stop])
        bar.update(end)
        yield buffer, end, first
        first = False


def _in_turn(
    pool: ThreadPoolExecutor,
    parse: Callable[[bytearray, int, bool], Block],
    blocks: Iterator[tuple[bytearray, int, bool]],
) -> Iterator[Block]:
    """What `pool.map` gives, without reading far ahead of the parsers: AHEAD blocks and the one at hand."""
    waiting: deque[Future[Block]] = deque()
    for block in blocks:
        waiting.append(pool.submit(parse, *block))
        if len(waiting) > AHEAD:
            yield waiting.popleft().result()
    yield from (future.result() for future in waiting)


def _parse(
    buffer: bytearray,
    size: int,
    first: bool,
    form: RatingsFormat,
    header: list[str] | None,
    scale: tuple[float, float],
) -> Block:
    """The rows of a block; ArrowInvalid where a value is missing or cannot be right."""

    def holds(letters: bytes) -> bool:
        return buffer.find(letters, 0, size) >= 0

    # A parser of columns takes 0x1F for 31. There are many zeros in a file and few letters: to look for one
    # letter first is a hundred times as fast.
    if not form.text_ids and any(holds(x) and holds(b"0" + x) for x in (b"x", b"X")):
        raise pa.ArrowInvalid("maybe a hexadecimal number")
    names, step = header or form.names, len(form.separator)
    width = step * len(names) - step + 1  # a parser sees an empty field between the two signs of "::"
    places = [str(step * names.index(name)) for name in form.names]
    between = [str(place) for place in range(width) if place % step]
    ids = pa.dictionary(pa.int32(), pa.string()) if form.text_ids else pa.int64()
    types = dict(zip(places, [ids, ids, pa.float32(), pa.int64()], strict=False))
    table = csv.read_csv(
        pa.BufferReader(memoryview(buffer)[:size]),
        read_options=csv.ReadOptions(
            column_names=[str(place) for place in range(width)],
            skip_rows=1 if header and first else 0,
            block_size=size + 1,
            use_threads=False,
        ),
        parse_options=csv.ParseOptions(
            delimiter=form.separator[0], quote_char='"' if form.quoted else False, ignore_empty_lines=False
        ),
        convert_options=csv.ConvertOptions(
            column_types={**types, **dict.fromkeys(between, pa.null())},
            include_columns=places + between,
            null_values=[""],
        ),
    )
    found = table.columns[: len(places)]
    if not len(table) or any(column.null_count for column in found):
        raise pa.ArrowInvalid("no rows, or a value is missing")
    columns = [
        _ids(column) if column.type == ids and form.text_ids else column.to_numpy() for column in found
    ]
    users, items = (ids.astype(_narrowest(ids), copy=False) for ids in columns[:2])
    ratings = columns[2]
    times = columns[3] if len(columns) == 4 else np.zeros(len(table), dtype=np.int64)
    if not ((ratings >= scale[0]) & (ratings <= scale[1])).all() or (times < 0).any():
        raise pa.ArrowInvalid("a value cannot be right")
    return Block([users, items, ratings, times], size, _is_rising(users, items))


def _ids(column: pa.ChunkedArray) -> NDArray:
    """Ids as int64 where every one is the plain spelling of a whole number ("007" is not), else as text."""
    coded = column.combine_chunks()
    words = compute.utf8_trim_whitespace(coded.dictionary)
    if compute.any(compute.equal(words, "")).as_py():
        raise pa.ArrowInvalid("an id is empty")
    numbers = plain_numbers(words)
    values = words.to_numpy(zero_copy_only=False) if numbers is None else numbers
    return values[coded.indices.to_numpy()]


def plain_numbers(words: pa.Array) -> NDArray[np.int64] | None:
    """Text as numbers, if every word is the plain spelling of a whole number of 64 bits."""
    try:
        numbers = words.cast(pa.int64())
    except pa.ArrowInvalid:
        return None
    return numbers.to_numpy() if numbers.cast(pa.string()).equals(words) else None


def _narrowest(ids: NDArray) -> np.dtype:
    """int32 for whole numbers that fit: half the memory, and touching it is much of what reading takes."""
    fits = ids.dtype != object and ids.min() >= -(2**31) and ids.max() < 2**31
    return np.dtype(np.int32) if fits else ids.dtype


def _as_text(ids: NDArray, rows: int | None = None) -> NDArray:
    """Ids as text, of which the first `rows` are there yet; plain numbers are spelled as they were."""
    if ids.dtype == object:
        return ids
    text = np.empty(len(ids), dtype=object)
    text[:rows] = ids[:rows].astype(str)
    return text


def _is_rising(users: NDArray, items: NDArray) -> bool:
    if object in (users.dtype, items.dtype):
        return False
    same = users[1:] == users[:-1]
    return bool(((users[1:] > users[:-1]) | (same & (items[1:] > items[:-1]))).all())


def _has_duplicates(users: NDArray, items: NDArray) -> bool:
    """Whether a pair comes twice; sorting numbers takes less time and memory than hashing them."""
    if object not in (users.dtype, items.dtype) and min(users.min(), items.min()) >= 0:
        span = int(items.max()) + 1
        if int(users.max()) < 2**63 // span - 1:
            pairs = users.astype(np.int64)
            pairs *= span
            pairs += items
            pairs.sort()
            return bool((pairs[1:] == pairs[:-1]).any())
    return bool(pd.DataFrame({"user": users, "item": items}, copy=False).duplicated().any())
