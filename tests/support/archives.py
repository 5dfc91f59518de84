"""Tiny archives in the three formats of GroupLens, with invented ratings and movies."""

import io
import zipfile
from pathlib import Path

import numpy as np

Row = tuple[int, int, float, int]  # user, movie, rating, timestamp
Members = dict[str, bytes | str]

GENRES = ["unknown", "Action", "Children's", "Comedy", "Drama", "Sci-Fi"]
ITEMS: dict[int, tuple[str, str]] = {
    1: ("Paper Harbour (1994)", "Comedy|Drama"),
    2: ("Été à la Gare, L' (1988)", "Drama"),
    3: ("unknown", "unknown"),
    4: ("Lantern Keeper, The (1995) (V)", "Children's"),
    5: ("Orbit: A Homecoming (2001)", "Action|Sci-Fi"),
    7: ("Nobody Rated This (1970)", "Drama"),
}
CSV_ITEMS: dict[int, tuple[str, str]] = {
    1: ("Paper Harbour (1994)", "Comedy|Drama"),
    2: ("Été à la Gare, L' (1988)", "Drama"),
    31: ('Train, the Dog, and "Max", The (2007)', "Comedy"),
    400: ("A Film Without a Year", "(no genres listed)"),
    5000: ("Long Series, A (1999-2003)", "Drama"),
    193000: ("Nobody Rated This (1970)", "Drama"),
}


def sample_ratings(
    movies: dict[int, tuple[str, str]] = ITEMS, users: int = 6, seed: int = 0, *, halves: bool = False
) -> list[Row]:
    """Return ratings in random order: every user rates all movies except the last, which has no ratings."""
    random = np.random.default_rng(seed)
    pairs = [(user, movie) for user in range(1, users + 1) for movie in list(movies)[:-1]]
    scale = np.arange(0.5, 5.5, 0.5) if halves else np.arange(1, 6)
    return [
        (*pairs[number], float(random.choice(scale)), int(random.integers(900_000_000, 1_000_000_000)))
        for number in random.permutation(len(pairs))
    ]


def zipped(members: Members, compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    """Return a zip archive that has the same bytes for the same members."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as file:
        for member, data in members.items():
            file.writestr(zipfile.ZipInfo(member, (2000, 1, 1, 0, 0, 0)), data, compression)
    return stream.getvalue()


def pack(path: Path, members: Members) -> Path:
    """Write a zip archive and return its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(zipped(members))
    return path


def lines_of(rows: list[Row], separator: str) -> str:
    """Format ratings as lines; whole ratings have no decimal point, as in the real files."""
    return "".join(
        separator.join([str(user), str(movie), f"{rating:g}", str(time)]) + "\n"
        for user, movie, rating, time in rows
    )


def tabs_members(rows: list[Row], folder: str = "ml-100k") -> Members:
    """Return the files of ml-100k: tabs; "|" in a latin-1 u.item; an empty last line in u.genre."""
    items = ""
    for number, (title, genres) in ITEMS.items():
        flags = "|".join("1" if genre in genres.split("|") else "0" for genre in GENRES)
        date = "" if title == "unknown" else "01-Jan-1995"
        items += f"{number}|{title} |{date}||http://example.invalid/{number}|{flags}\n"
    users = "".join(f"{user}|30|F|writer|0123{user}\n" for user in sorted({row[0] for row in rows}))
    return {
        f"{folder}/u.data": lines_of(rows, "\t"),
        f"{folder}/u.item": items.encode("latin-1"),
        f"{folder}/u.genre": "".join(f"{genre}|{index}\n" for index, genre in enumerate(GENRES)) + "\n",
        f"{folder}/u.user": users,
    }


def colons_members(rows: list[Row], folder: str = "ml-1m", encoding: str = "latin-1") -> Members:
    """Return the files of ml-1m (latin-1) or ml-10m (UTF-8), with fields separated by "::"."""
    movies = "".join(f"{number}::{title}::{genres}\n" for number, (title, genres) in ITEMS.items())
    return {f"{folder}/ratings.dat": lines_of(rows, "::"), f"{folder}/movies.dat": movies.encode(encoding)}


def csv_members(rows: list[Row], folder: str = "ml-latest-small", newline: str = "\r\n") -> Members:
    """Return the files of ml-latest-small: a header, CRLF, and quotes around titles that need them."""
    movies = "movieId,title,genres\n"
    for number, (title, genres) in CSV_ITEMS.items():
        quoted = '"' + title.replace('"', '""') + '"' if "," in title or '"' in title else title
        movies += f"{number},{quoted},{genres}\n"
    ratings = "userId,movieId,rating,timestamp\n" + "".join(
        f"{user},{movie},{rating},{time}\n" for user, movie, rating, time in rows
    )
    return {
        f"{folder}/ratings.csv": ratings.replace("\n", newline),
        f"{folder}/movies.csv": movies.replace("\n", newline).encode(),
    }


def package_tables(rows: list[Row]) -> dict[str, bytes]:
    """Return the data of `tabs_members` in the format of the Python package: headers, separate years."""
    items = "item_id:token\tmovie_title:token_seq\trelease_year:token\tclass:token_seq\n"
    for number, (title, genres) in ITEMS.items():
        name, _, year = title.rpartition(" (")
        if title == "unknown":
            name, year = "unkonwn", "unkonwn)"
        items += f"{number}\t{name}\t{year[:-1]}\t{genres.replace('|', ' ')}\n"
    users = "".join(f"{user}\t30\tF\twriter\t0123{user}\n" for user in sorted({row[0] for row in rows}))
    header = "user_id:token\titem_id:token\trating:float\ttimestamp:float\n"
    return {
        "inter": (header + lines_of(rows, "\t")).encode(),
        "item": items.encode(),
        "user": ("user_id:token\tage:token\tgender:token\tjob:token\tzip_code:token\n" + users).encode(),
    }
