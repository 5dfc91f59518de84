import stat
import zipfile
from pathlib import Path

import pandas as pd
import pytest
from support.archives import (
    CSV_ITEMS,
    ITEMS,
    Row,
    colons_members,
    csv_members,
    pack,
    sample_ratings,
    tabs_members,
    zipped,
)

from recsys.data.sources import archive as archive_module
from recsys.data.sources.archive import read_colons, read_csv, read_tabs, year_of
from recsys.data.sources.movielens import Reader
from recsys.data.sources.public_archive import member_digest
from recsys.errors import DataError, DownloadError

ROWS = sample_ratings()
HALVES = sample_ratings(CSV_ITEMS, halves=True)
LAYOUTS = {
    "tabs": (read_tabs, tabs_members(ROWS), "ml-100k", ROWS, ITEMS),
    "colons, latin-1": (read_colons, colons_members(ROWS), "ml-1m", ROWS, ITEMS),
    "colons, utf-8": (read_colons, colons_members(ROWS, "ml-10M100K", "utf-8"), "ml-10M100K", ROWS, ITEMS),
    "csv, CRLF": (read_csv, csv_members(HALVES), "ml-latest-small", HALVES, CSV_ITEMS),
    "csv, LF": (read_csv, csv_members(HALVES, "ml-25m", "\n"), "ml-25m", HALVES, CSV_ITEMS),
}
YEARS = {1: 1994, 2: 1988, 4: 1995, 5: 2001, 7: 1970, 31: 2007, 5000: 1999, 193000: 1970}
SCALE = (0.5, 5.0)


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    return tmp_path / "set.zip"


@pytest.mark.parametrize(
    ("reader", "members", "folder", "rows", "items"), LAYOUTS.values(), ids=LAYOUTS.keys()
)
def test_each_format_is_read(
    archive: Path, reader: Reader, members: dict, folder: str, rows: list[Row], items: dict
) -> None:
    tables = reader(pack(archive, members), folder, SCALE, "error")
    assert list(tables.ratings.itertuples(index=False, name=None)) == rows
    assert tables.dropped == 0
    found = tables.items.set_index("item")
    assert found["title"].to_dict() == {id: title for id, (title, _) in items.items()}
    assert found["year"].dropna().to_dict() == {id: YEARS[id] for id in items if id in YEARS}
    genres = {id: "" if raw == "(no genres listed)" else raw for id, (_, raw) in items.items()}
    assert found["genres"].to_dict() == genres


def test_users_are_read_if_a_release_has_them(archive: Path) -> None:
    members = tabs_members(ROWS) | {"ml-100k/u.user": "7|24|M|technician|85711\n3|53|F|other|T8H1N\n"}
    users = read_tabs(pack(archive, members), "ml-100k", SCALE, "error").users
    assert users is not None
    assert users.set_index("user").loc[3].to_dict() == {"age": "53", "gender": "F", "occupation": "other"}
    members = colons_members(ROWS) | {"ml-1m/users.dat": "1::F::1::10::48067\n2::M::56::16::70072\n"}
    users = read_colons(pack(archive, members), "ml-1m", SCALE, "error").users
    assert users is not None
    assert users.set_index("user").loc[2].to_dict() == {"age": "56", "gender": "M", "occupation": "16"}
    assert read_colons(pack(archive, colons_members(ROWS)), "ml-1m", SCALE, "error").users is None


@pytest.mark.parametrize(
    "line", ["1|24|M|technician", "x|24|M|technician|85711", "٣|24|M|x|8", "9" * 5000 + "|24|M|x|8", ""]
)
def test_a_bad_line_of_users_is_reported(archive: Path, line: str) -> None:
    members = tabs_members(ROWS) | {"ml-100k/u.user": f"7|24|M|technician|85711\n{line}\n"}
    with pytest.raises(DataError, match=r"ml-100k/u\.user line 2: (5 fields expected|id )"):
        read_tabs(pack(archive, members), "ml-100k", SCALE, "error")


@pytest.mark.parametrize(
    ("title", "year"),
    [
        ("Heat (1995)", 1995),
        ("Hunted, The (1995) (V)", 1995),
        ("Series (1999-2003)", 1999),
        ("Series (1999-)", 1999),
        ("Series (1999\u20132003)", 1999),
        ("1984", None),
        ("2001: A Walk", None),
        ("(1994) Begins It", None),
        ("Twice (1990) (1995)", 1995),
        ("unknown", None),
    ],
)
def test_the_year_is_at_the_end_of_the_title(title: str, year: int | None) -> None:
    assert year_of(title) == year


@pytest.mark.parametrize(
    ("reader", "member", "members"),
    [
        (read_tabs, "ml-100k/u.data", tabs_members([*ROWS, ROWS[0]])),
        (read_colons, "ml-1m/ratings.dat", colons_members([*ROWS, ROWS[0]])),
        (read_csv, "ml-latest-small/ratings.csv", csv_members([*HALVES, HALVES[0]])),
    ],
    ids=["tabs", "colons", "csv"],
)
def test_a_bad_row_is_reported_with_archive_file_and_line(
    archive: Path, reader: Reader, member: str, members: dict
) -> None:
    pack(archive, members)
    line, header = (len(ROWS) + 1, 0) if reader is not read_csv else (len(HALVES) + 2, 1)
    with pytest.raises(DataError) as error:
        reader(archive, member.split("/")[0], SCALE, "error")
    assert str(error.value).startswith(f"set.zip: {member} line {line}: user ")
    assert f"before, in line {1 + header}." in str(error.value)
    assert reader(archive, member.split("/")[0], SCALE, "drop").dropped == 1


@pytest.mark.parametrize(
    ("reader", "member", "data", "message"),
    [
        (read_tabs, "ml-100k/u.item", "1|Short (1990)|x\n", "u.item line 1: 3 fields"),
        (
            read_colons,
            "ml-1m/movies.dat",
            "1::A (1990)::Drama\n2::B (1990)\n",
            "movies.dat line 2: id, title",
        ),
        (read_colons, "ml-1m/movies.dat", "²::A (1990)::Drama\n", "movies.dat line 1: id, title"),
        (
            read_csv,
            "ml-latest-small/movies.csv",
            "movieId,title,genres\n1,A, B,Drama\n",
            "movies.csv line 2: id, t",
        ),
        (
            read_colons,
            "ml-1m/movies.dat",
            "1::A::Drama\n2::B::Drama\n1::C::Drama\n",
            "movies.dat line 3: id 1 occurs in line 1",
        ),
        (
            read_csv,
            "ml-latest-small/movies.csv",
            "movieId,title,genres\n1,A,Drama\n1,B,Drama\n",
            "movies.csv line 3: id 1 occurs in line 2",
        ),
        (
            read_colons,
            "ml-1m/users.dat",
            "1::F::1::10::48067\n1::M::1::10::48067\n",
            "users.dat line 2: id 1 occurs in line 1",
        ),
        (read_colons, "ml-1m/movies.dat", "٣::A (1990)::Drama\n", "movies.dat line 1: id '٣' is not a whole"),
        (read_colons, "ml-1m/movies.dat", "9" * 5000 + "::A::Drama\n", "movies.dat line 1: id '9{60}"),
        (read_colons, "ml-1m/movies.dat", "x" * 5000 + "::A::Drama\n", "movies.dat line 1: id, title"),
        *(
            (
                read_csv,
                "ml-latest-small/movies.csv",
                f"movieId,title,genres\n1,A,Drama\n2,{row}\n3,C,Drama\n",
                "movies.csv line 3: a quote is not closed in this line",
            )
            for row in ('"B,Drama', 'B,"Drama', 'B,"Dra\nma"')
        ),
    ],
)
def test_a_bad_item_is_reported_with_its_line(
    archive: Path, reader: Reader, member: str, data: str, message: str
) -> None:
    folder = member.split("/")[0]
    members = {"ml-100k": tabs_members, "ml-1m": colons_members}.get(folder, csv_members)(ROWS)
    with pytest.raises(DataError, match=f"^set.zip: {folder}/{message}") as error:
        reader(pack(archive, {**members, member: data}), folder, SCALE, "error")
    assert len(str(error.value)) < 300


def test_item_lines_end_only_at_newlines(archive: Path) -> None:
    items = "1::Wait\x85 What\x1c (1990)::Drama\n".encode("latin-1")
    tables = read_colons(
        pack(archive, {**colons_members(ROWS), "ml-1m/movies.dat": items}), "ml-1m", SCALE, "error"
    )
    assert tables.items["title"].tolist() == ["Wait\x85 What\x1c (1990)"]


@pytest.mark.parametrize(
    ("reader", "members"), [(read_tabs, tabs_members(ROWS)), (read_colons, colons_members(ROWS))]
)
def test_windows_newlines_are_read(archive: Path, reader: Reader, members: dict) -> None:
    folder = next(iter(members)).split("/")[0]
    windows = {
        name: (data.encode() if isinstance(data, str) else data).replace(b"\n", b"\r\n")
        for name, data in members.items()
    }
    one, other = (reader(pack(archive, files), folder, SCALE, "error") for files in (members, windows))
    pd.testing.assert_frame_equal(one.ratings, other.ratings)
    pd.testing.assert_frame_equal(one.items, other.items)


def test_a_missing_file_is_reported_with_the_content(archive: Path) -> None:
    pack(archive, colons_members(ROWS))
    with pytest.raises(DataError, match=r"holds no ml-100k/u\.data \(it holds ml-1m/ratings\.dat, "):
        read_tabs(archive, "ml-100k", SCALE, "error")


def test_a_file_that_is_not_a_zip_archive_is_reported(archive: Path) -> None:
    archive.write_bytes(b"<html>Not Found</html>")
    with pytest.raises(DataError, match=r"set\.zip: not a zip archive\. Delete the file"):
        read_tabs(archive, "ml-100k", SCALE, "error")


def test_an_archive_of_an_unknown_version_is_reported(archive: Path) -> None:
    pack(archive, tabs_members(ROWS))
    raw = bytearray(archive.read_bytes())
    raw[raw.index(b"PK\x01\x02") + 6] = 255
    archive.write_bytes(raw)
    with pytest.raises(DataError, match=r"set\.zip: not a zip archive\. Delete the file"):
        read_tabs(archive, "ml-100k", SCALE, "error")


def test_a_zip_bomb_is_refused_without_reading_it(archive: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pack(archive, {**tabs_members(ROWS), "ml-100k/u.data": b"1" * 2_000_000})
    monkeypatch.setattr(zipfile.ZipFile, "read", lambda *_: pytest.fail("read"))
    with pytest.raises(DataError, match=r"u\.data claims to unpack \d+ bytes to 2000000"):
        read_tabs(archive, "ml-100k", SCALE, "error")


def test_a_zip_bomb_that_claims_to_be_large_is_refused_without_reading_it(
    archive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pack(archive, {**tabs_members(ROWS), "ml-100k/u.data": b"1" * 20_000_000})
    data = bytearray(archive.read_bytes())
    with zipfile.ZipFile(archive) as file:
        names = file.namelist()
    entry = data.index(b"PK\x01\x02")
    for _ in range(names.index("ml-100k/u.data")):
        entry = data.index(b"PK\x01\x02", entry + 4)
    data[entry + 20 : entry + 24] = (2**31 - 1).to_bytes(4, "little")  # the compressed size
    archive.write_bytes(data)
    monkeypatch.setattr(zipfile.ZipFile, "open", lambda *_: pytest.fail("read"))
    with pytest.raises(DataError, match=r"u\.data claims to unpack \d+ bytes to 20000000"):
        read_tabs(archive, "ml-100k", SCALE, "error")


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_file_that_an_archive_holds_twice_is_refused(archive: Path) -> None:
    pack(archive, tabs_members(ROWS))
    with zipfile.ZipFile(archive, "a") as file:
        file.writestr("ml-100k/u.data", "1\t1\t5\t0\n")
    with pytest.raises(DataError, match=r"holds ml-100k/u\.data more than once"):
        read_tabs(archive, "ml-100k", SCALE, "error")


def test_a_file_above_the_size_limit_is_refused(archive: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    members = tabs_members(ROWS)
    pack(archive, members)
    largest = max(members, key=lambda member: len(members[member]))
    monkeypatch.setattr(archive_module, "MAX_MEMBER_SIZE", len(members[largest]))
    assert len(read_tabs(archive, "ml-100k", SCALE, "error").ratings) == len(ROWS)
    monkeypatch.setattr(archive_module, "MAX_MEMBER_SIZE", len(members[largest]) - 1)
    with pytest.raises(DataError, match=f"{largest} claims to unpack"):
        read_tabs(archive, "ml-100k", SCALE, "error")


@pytest.mark.parametrize("compression", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_files_that_unpack_without_a_limit_are_not_unpacked(archive: Path, compression: int) -> None:
    """1 GB of zeros takes some hundred bytes, and zipfile unpacks all of it before it counts."""
    with zipfile.ZipFile(archive, "w", compression) as file:
        file.writestr("ml-100k/u.data", b"1\t1\t5\t0\n")
    with pytest.raises(DataError, match=rf"u\.data is packed with method {compression}, and only stored"):
        read_tabs(archive, "ml-100k", SCALE, "error")
    with zipfile.ZipFile(archive) as file, pytest.raises(DownloadError, match="is packed with method"):
        member_digest(file, "ml-100k/u.data")


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_damaged_file_is_reported(archive: Path, compression: int) -> None:
    data = str(tabs_members(ROWS)["ml-100k/u.data"]).encode()
    with zipfile.ZipFile(archive, "w", compression) as file:
        file.writestr("ml-100k/u.data", data)
        start = file.start_dir - file.getinfo("ml-100k/u.data").compress_size
    raw = bytearray(archive.read_bytes())
    raw[start : start + 30] = b"\xff" * 30
    archive.write_bytes(raw)
    with pytest.raises(DataError, match=r"ml-100k/u\.data is damaged \(.+\)\. Delete the file"):
        read_tabs(archive, "ml-100k", SCALE, "error")


def test_files_are_not_unpacked(archive: Path) -> None:
    pack(archive, {**tabs_members(ROWS), "../escaped": b"x", "/tmp/escaped-by-recsys-test": b"x"})
    before = sorted(archive.parent.iterdir())
    assert isinstance(read_tabs(archive, "ml-100k", SCALE, "error").ratings, pd.DataFrame)
    assert sorted(archive.parent.iterdir()) == before
    assert not (archive.parent.parent / "escaped").exists()


@pytest.mark.parametrize("path", ["../outside", "/absolute", "ml-100k/../../outside", "ml-100k/link"])
def test_malicious_paths_have_no_effect(tmp_path: Path, path: str) -> None:
    inside = tmp_path / "a" / "b" / "tiny.zip"
    inside.parent.mkdir(parents=True)
    inside.write_bytes(zipped(tabs_members(sample_ratings())))
    with zipfile.ZipFile(inside, "a") as file:
        info = zipfile.ZipInfo(path)
        if path.endswith("link"):
            info.external_attr = (stat.S_IFLNK | 0o777) << 16
        file.writestr(info, "/etc/passwd")
    assert len(read_tabs(inside, "ml-100k", (1, 5), "error").ratings) == 30
    assert [file.name for file in tmp_path.rglob("*") if file.is_file() or file.is_symlink()] == ["tiny.zip"]


def test_a_symbolic_link_in_an_archive_is_not_followed(tmp_path: Path) -> None:
    secret = tmp_path / "secret.data"
    secret.write_text("1\t1\t5\t9\n")
    info = zipfile.ZipInfo("ml-100k/u.data")
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "tiny.zip", "w") as file:
        file.writestr(info, str(secret))
    with pytest.raises(DataError, match=r"ml-100k/u\.data line 1"):
        read_tabs(tmp_path / "tiny.zip", "ml-100k", (1, 5), "error")
