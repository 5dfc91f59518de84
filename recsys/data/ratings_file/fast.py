"""Columnar reader: parses blocks of whole lines in parallel with pyarrow.

Only the four resulting columns are in memory as a whole, never the text.
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

from recsys.data.ids import MAX_ID_LENGTH
from recsys.data.ratings_file.format import COLUMNS, RatingsFormat, TextSource
from recsys.data.ratings_file.integer_ids import integer_ids
from recsys.data.ratings_file.lines import has_fields_over_lines
from recsys.data.ratings_file.times import DATES, Times, parse_times
from recsys.terminal import visible

MAX_WAITING = 2 * pa.cpu_count()  # blocks that are read but not parsed yet
BLOCK_SIZE = 4 * 2**20  # bytes of text: the columns fit into the CPU cache, and the cost per block is small
PROGRESS_SIZE = 50_000_000  # bytes of text from which a progress bar is shown


class Block(NamedTuple):
    """The rows of a block of text.

    Attributes:
        columns: arrays in the order of COLUMNS; integer ids are int32 if all ids of the block fit.
        size: the bytes of text.
        ascending: whether the pairs (user, item) are strictly ascending, so that there are no duplicates.
        has_dates: whether times were dates.
    """

    columns: list[NDArray]
    size: int
    ascending: bool
    has_dates: bool


def read_columns(
    text: TextSource, fmt: RatingsFormat, header: list[str] | None, scale: tuple[float, float]
) -> pd.DataFrame | None:
    """Read all rows, or return None if there are no rows or any row is bad.

    Args:
        text: the text to read.
        fmt: its format.
        header: the names in the first line; None if the text has no header.
        scale: the lowest and the highest possible rating.

    Returns:
        A table with the columns user and item (int32, int64 or text: the first that holds all ids), rating
        (float32) and timestamp (int64; 0 if unknown; datetime64[us] for dates).
    """
    parse = partial(_parse, fmt=fmt, header=header, scale=scale)
    table = _Table(text.size)
    try:
        with (
            text.open() as file,
            ThreadPoolExecutor(pa.cpu_count()) as pool,
            _progress_bar(text) as progress,
        ):
            for block in _map_in_order(pool, parse, _read_blocks(file, progress)):
                table.append(block)
    except pa.ArrowInvalid:
        return None
    columns = [column[: table.rows] for column in table.columns]
    may_repeat = fmt.may_repeat or table.ascending
    if table.has_dates:
        columns[3] = columns[3].view(DATES)
    if not table.rows or (not may_repeat and _has_duplicates(*columns[:2])):
        return None
    return pd.DataFrame(dict(zip(COLUMNS, columns, strict=True)), copy=False)


class _Table:
    """Columns to which blocks are appended.

    The first block preallocates them from its row size and the `size` of the text in bytes. Unused space
    takes no memory, because the operating system provides a page only when it is written to.
    """

    def __init__(self, size: int) -> None:
        self.size, self.rows, self.ascending, self.has_dates = size, 0, True, False
        self.columns: list[NDArray] = []

    def append(self, block: Block) -> None:
        """Append a block.

        Raises:
            pa.ArrowInvalid: its times are dates and those of earlier blocks are numbers, or the reverse.
        """
        if self.rows and block.has_dates != self.has_dates:
            raise pa.ArrowInvalid("numbers and dates")
        self.has_dates = block.has_dates
        start, self.rows = self.rows, self.rows + len(block.columns[0])
        if not self.columns:
            capacity = int(1.1 * self.rows * max(self.size / block.size, 1))
            self.columns = [np.empty(capacity, dtype=values.dtype) for values in block.columns]
        while len(self.columns[0]) < self.rows:
            self.columns = [np.concatenate([column, np.empty_like(column)]) for column in self.columns]
        for column, values in enumerate(block.columns):
            if column < 2:  # if any block has text ids, all ids become text
                if object in (values.dtype, self.columns[column].dtype):
                    values = _as_text(values)
                    self.columns[column] = _as_text(self.columns[column], start)
                elif values.dtype == np.int64:
                    self.columns[column] = self.columns[column].astype(np.int64, copy=False)
            self.columns[column][start : self.rows] = values
        users, items = self.columns[:2]
        self.ascending = self.ascending and block.ascending
        if self.ascending and start:
            self.ascending = (users[start - 1], items[start - 1]) < (users[start], items[start])


def _progress_bar(text: TextSource) -> tqdm:
    """Return a progress bar in bytes, visible for long texts if standard error is a terminal."""
    disable = None if text.size > PROGRESS_SIZE else True  # None: disabled unless on a terminal
    return tqdm(
        total=text.size, desc=visible(text.name), unit="B", unit_scale=True, leave=False, disable=disable
    )


def _read_blocks(file: IO[bytes], progress: tqdm) -> Iterator[tuple[bytearray, int, bool]]:
    """Yield blocks of whole lines: a buffer, the number of bytes used, and whether it is the first block.

    Buffers are reused in turn, because the first write to new memory costs more than the copy itself.
    """
    rest, first = b"", True
    buffers: deque[bytearray] = deque()
    while True:
        buffers.append(buffers.popleft() if len(buffers) > MAX_WAITING else bytearray(BLOCK_SIZE))
        buffer = buffers[-1]
        buffer[: len(rest)] = rest
        free = memoryview(buffer)[len(rest) :]
        stop = len(rest) + file.readinto(free)  # type: ignore[attr-defined]  # missing in typing.IO
        end = buffer.rfind(b"\n") + 1 if stop == BLOCK_SIZE else stop
        if not stop:
            return
        if not end:
            raise pa.ArrowInvalid("a line is longer than a block")
        rest = bytes(buffer[end:stop])
        progress.update(end)
        yield buffer, end, first
        first = False


def _map_in_order(
    pool: ThreadPoolExecutor,
    parse: Callable[[bytearray, int, bool], Block],
    blocks: Iterator[tuple[bytearray, int, bool]],
) -> Iterator[Block]:
    """Parse blocks in parallel and yield the results in order, with at most MAX_WAITING + 1 blocks in memory.

    `pool.map` would read all blocks at once.
    """
    waiting: deque[Future[Block]] = deque()
    for block in blocks:
        waiting.append(pool.submit(parse, *block))
        if len(waiting) > MAX_WAITING:
            yield waiting.popleft().result()
    yield from (future.result() for future in waiting)


def _parse(
    buffer: bytearray,
    size: int,
    first: bool,
    fmt: RatingsFormat,
    header: list[str] | None,
    scale: tuple[float, float],
) -> Block:
    """Return the rows of a block.

    Raises:
        pa.ArrowInvalid: a value is missing, has the wrong type or is out of range.
    """

    def contains(letters: bytes) -> bool:
        return buffer.find(letters, 0, size) >= 0

    # pyarrow parses 0x1F as 31. Searching for "x" first is a hundred times as fast as for "0x", because a
    # ratings file has many zeros and few letters.
    hexadecimal = any(contains(x) and contains(b"0" + x) for x in (b"x", b"X"))
    if not fmt.text_ids and hexadecimal:
        raise pa.ArrowInvalid("possibly a hexadecimal number")
    if fmt.text_ids and contains(b"\0"):
        raise pa.ArrowInvalid("possibly an id with a NUL character")
    names, step = header or fmt.names, len(fmt.separator)
    width = step * len(names) - step + 1  # "::" is two separators with an empty field between
    wanted = {role: str(step * names.index(name)) for role, name in fmt.by_role.items()}
    between = [str(position) for position in range(width) if position % step]
    id_type = pa.dictionary(pa.int32(), pa.string()) if fmt.text_ids else pa.int64()
    # Text is parsed more slowly than numbers, so times are text only where they may be dates.
    may_have_dates = fmt.text_ids and (hexadecimal or contains(b"-"))
    time_type = pa.string() if may_have_dates else pa.int64()
    types = {"user": id_type, "item": id_type, "rating": pa.float32(), "timestamp": time_type}
    column_types = {position: types[role] for role, position in wanted.items()}
    table = csv.read_csv(
        pa.BufferReader(memoryview(buffer)[:size]),
        read_options=csv.ReadOptions(
            column_names=[str(position) for position in range(width)],
            skip_rows=1 if header and first else 0,
            block_size=size + 1,
            use_threads=False,
        ),
        parse_options=csv.ParseOptions(
            delimiter=fmt.separator[0], quote_char='"' if fmt.quoted else False, ignore_empty_lines=False
        ),
        convert_options=csv.ConvertOptions(
            column_types={**column_types, **dict.fromkeys(between, pa.null())},
            include_columns=[*wanted.values(), *between],
            null_values=[""],
        ),
    )
    rows = len(table) + bool(header and first)
    if fmt.quoted and contains(b'"') and has_fields_over_lines(buffer, size, rows, fmt.delimiter):
        raise pa.ArrowInvalid("a quoted field spans lines")
    found = {role: table[position] for role, position in wanted.items()}
    if not len(table) or any(column.null_count for column in found.values()):
        raise pa.ArrowInvalid("no rows, or a value is missing")
    both = (found["user"], found["item"])
    users, items = (_to_ids(column) if fmt.text_ids else column.to_numpy() for column in both)
    users, items = (ids.astype(_smallest_type(ids), copy=False) for ids in (users, items))
    ratings = found["rating"].to_numpy() if "rating" in found else np.ones(len(table), dtype=np.float32)
    timestamps, has_dates = _to_times(found.get("timestamp"), len(table))
    if not ((ratings >= scale[0]) & (ratings <= scale[1])).all() or (timestamps < 0).any():
        raise pa.ArrowInvalid("a rating or a timestamp is out of range")
    return Block([users, items, ratings, timestamps], size, _is_ascending(users, items), has_dates)


def _to_ids(column: pa.ChunkedArray) -> NDArray:
    """Decode a dictionary-encoded column: int64 if all ids are integers, else text without outer spaces."""
    encoded = column.combine_chunks()
    distinct = compute.utf8_trim_whitespace(encoded.dictionary)
    if compute.any(compute.equal(distinct, "")).as_py():
        raise pa.ArrowInvalid("an id is empty")
    if compute.max(compute.binary_length(distinct)).as_py() > MAX_ID_LENGTH:
        raise pa.ArrowInvalid("possibly an id that is too long")
    integers = integer_ids(distinct)
    values = distinct.to_numpy(zero_copy_only=False) if integers is None else integers
    return values[encoded.indices.to_numpy()]


def _to_times(column: pa.ChunkedArray | None, rows: int) -> Times:
    """Return the times of a column of integers or texts; 0 for each row if there is no column."""
    if column is None:
        return Times(np.zeros(rows, dtype=np.int64), are_dates=False)
    if column.type == pa.int64():
        return Times(column.to_numpy(), are_dates=False)
    try:
        return parse_times(column)
    except ValueError as error:
        raise pa.ArrowInvalid(str(error)) from None


def _smallest_type(ids: NDArray) -> np.dtype:
    """Return int32 if all ids fit, which saves memory accesses; else the present type."""
    fits = ids.dtype != object and ids.min() >= -(2**31) and ids.max() < 2**31
    return np.dtype(np.int32) if fits else ids.dtype


def _as_text(ids: NDArray, rows: int | None = None) -> NDArray:
    """Return ids as text; only the first `rows` are converted if the rest of the array is not filled yet."""
    if ids.dtype == object:
        return ids
    text = np.empty(len(ids), dtype=object)
    text[:rows] = ids[:rows].astype(str)
    return text


def _is_ascending(users: NDArray, items: NDArray) -> bool:
    """Return whether the pairs (user, item) are integers and strictly ascending."""
    if object in (users.dtype, items.dtype):
        return False
    same = users[1:] == users[:-1]
    return bool(((users[1:] > users[:-1]) | (same & (items[1:] > items[:-1]))).all())


def _has_duplicates(users: NDArray, items: NDArray) -> bool:
    """Return whether any pair occurs twice. Integers are sorted, which is faster and smaller than hashing."""
    if object not in (users.dtype, items.dtype) and min(users.min(), items.min()) >= 0:
        span = int(items.max()) + 1
        if int(users.max()) < 2**63 // span - 1:
            pairs = users.astype(np.int64)
            pairs *= span
            pairs += items
            pairs.sort()
            return bool((pairs[1:] == pairs[:-1]).any())
    return bool(pd.DataFrame({"user": users, "item": items}, copy=False).duplicated().any())
