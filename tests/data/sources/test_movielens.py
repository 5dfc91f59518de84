import dataclasses
import hashlib
import os
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import hydra
import numpy as np
import pytest
from support.archives import ITEMS, pack, sample_ratings, tabs_members

from recsys.data.dataset import Dataset
from recsys.data.sources import movielens
from recsys.data.sources.archive import read_csv, read_tabs
from recsys.data.sources.movielens import MovieLens
from recsys.data.splits import OfficialSplit
from recsys.errors import DataError, DownloadError

ROWS = sample_ratings()
RATINGS = "ml-100k/u.data"
RATINGS_CHECKSUM = {RATINGS: hashlib.sha256(str(tabs_members(ROWS)[RATINGS]).encode()).hexdigest()}


def md5(path: Path) -> str:
    return hashlib.md5(path.read_bytes()).hexdigest()


@pytest.fixture
def source(closed: str, tmp_path: Path) -> MovieLens:
    """A release whose archive is only in a mirror folder."""
    path = pack(tmp_path / "mirror" / "ml-100k.zip", tabs_members(ROWS))
    return MovieLens(
        "ml-100k", "ml-100k", read_tabs, (1, 5), f"{closed}/x.zip", md5(path), mirror=str(path.parent)
    )


def raw_rows(dataset: Dataset) -> list[tuple]:
    users, items = dataset.user_ids.to_ids(dataset.users), dataset.item_ids.to_ids(dataset.items)
    columns = (users, items, dataset.ratings, dataset.timestamps)
    return list(zip(*(column.tolist() for column in columns), strict=True))


def test_rows_keep_the_order_of_the_file(source: MovieLens) -> None:
    dataset = source.load()
    assert raw_rows(dataset) == ROWS
    assert dataset.item_table["title"].tolist() == [title for title, _ in ITEMS.values()][:-1]
    assert (dataset.name, dataset.scale, dataset.dropped) == ("ml-100k", (1.0, 5.0), 0)


@pytest.mark.parametrize("is_repacked", [False, True])
def test_a_second_load_reads_the_cache(source: MovieLens, is_repacked: bool, tmp_path: Path) -> None:
    if is_repacked:
        source = dataclasses.replace(source, md5="0" * 32, members=RATINGS_CHECKSUM)
    first = source.load()
    for archive in tmp_path.rglob("*.zip"):
        archive.unlink()
    again = source.load()
    assert raw_rows(again) == ROWS
    assert again.sha256 == first.sha256


def test_another_folder_of_a_verified_archive_has_another_cache_entry(
    source: MovieLens, tmp_path: Path
) -> None:
    """The configuration of a stranger's run may read files that no checksum covers."""
    both = tabs_members(ROWS) | tabs_members(ROWS[:3], folder="evil")
    stranger = pack(tmp_path / "stranger" / "ml-100k.zip", both)
    source = dataclasses.replace(source, members=RATINGS_CHECKSUM)
    evil = dataclasses.replace(source, folder="evil", mirror=str(stranger.parent))
    assert raw_rows(evil.load()) == ROWS[:3]
    assert raw_rows(source.load()) == ROWS
    assert raw_rows(evil.load()) == ROWS[:3]


def test_nothing_is_kept_of_a_wrong_archive(source: MovieLens, tmp_path: Path) -> None:
    pack(tmp_path / "mirror" / "ml-100k.zip", tabs_members(ROWS[1:]))
    with pytest.raises(DownloadError, match="ml-100k: no location has a usable archive"):
        source.load()
    assert not [path for path in (tmp_path / "data").rglob("*") if path.is_file() and path.suffix != ".lock"]


def test_on_bad_rows_has_separate_cache_entries(source: MovieLens, tmp_path: Path) -> None:
    path = pack(tmp_path / "mirror" / "ml-100k.zip", tabs_members([*ROWS, ROWS[0]]))
    dropping = dataclasses.replace(source, md5=md5(path), on_bad_rows="drop")
    assert (len(dropping.load()), dropping.load().dropped) == (len(ROWS), 1)
    with pytest.raises(DataError, match="before, in line 1"):
        dataclasses.replace(dropping, on_bad_rows="error").load()


def test_an_unverified_archive_is_read_again_when_it_changes(source: MovieLens, tmp_path: Path) -> None:
    unverified = dataclasses.replace(source, verify=False)
    for rows in (ROWS[:10], ROWS[5:]):
        pack(tmp_path / "mirror" / "ml-100k.zip", tabs_members(rows))
        assert raw_rows(unverified.load()) == rows
    pack(tmp_path / "mirror" / "ml-100k.zip", tabs_members(ROWS))
    assert raw_rows(source.load()) == ROWS


def test_an_archive_without_a_checksum_is_read_again_when_it_changes(
    source: MovieLens, tmp_path: Path
) -> None:
    unknown = dataclasses.replace(source, md5=None)
    for rows in (ROWS[:10], ROWS[5:]):
        pack(tmp_path / "mirror" / "ml-100k.zip", tabs_members(rows))
        assert raw_rows(unknown.load()) == rows
    (tmp_path / "mirror" / "ml-100k.zip").unlink()
    assert raw_rows(unknown.load()) == ROWS[5:]


def test_a_truncated_archive_in_the_cache_is_downloaded_again(source: MovieLens, tmp_path: Path) -> None:
    source.load()
    (archive,) = (tmp_path / "data" / "archives").glob("ml-100k-*.zip")
    archive.write_bytes(archive.read_bytes()[:300])
    assert raw_rows(dataclasses.replace(source, on_bad_rows="drop").load()) == ROWS
    assert md5(archive) == source.md5


@pytest.mark.parametrize("verify", [True, False])
def test_a_data_folder_that_cannot_be_used_is_reported(
    source: MovieLens, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, verify: bool
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("RECSYS_DATA", str(tmp_path / "file"))
    with pytest.raises(DataError, match=r"^RECSYS_DATA=.*/file: cannot be used: Not a directory; "):
        dataclasses.replace(source, verify=verify).load()


LOAD = """
import sys
from recsys.data.sources.movielens import MovieLens
from recsys.data.sources.archive import read_tabs
address, md5 = sys.argv[1:]
print("ready", flush=True)
print(MovieLens("ml-100k", "ml-100k", read_tabs, (1, 5), address, md5).load().sha256)
"""


@pytest.mark.slow
def test_two_processes_download_and_encode_once(source: MovieLens, web, tmp_path: Path) -> None:
    archive = tmp_path / "mirror" / "ml-100k.zip"
    address = web.put("/ml-100k.zip", archive.read_bytes())
    web.open.clear()  # the first waits until the second has started
    root = str(Path(movielens.__file__).parents[3])
    started = [
        subprocess.Popen(
            [sys.executable, "-c", LOAD, address, source.md5],
            env={**os.environ, "PYTHONPATH": root},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    assert [process.stdout.readline() for process in started] == ["ready\n"] * 2
    web.open.set()
    outputs = [process.communicate() for process in started]
    assert [process.returncode for process in started] == [0, 0], outputs
    assert {out for out, _ in outputs} == {f"{source.load().sha256}\n"}
    assert web.requested == ["/ml-100k.zip"]
    kept = tmp_path / "data"
    assert len(list((kept / "archives").glob("[!.]*"))) == 1
    assert len(list((kept / "encoded").glob("[!.]*"))) == 1


MIRROR = os.environ.get("RECSYS_MIRROR", "")  # before a fixture removes it
REAL = Path(MIRROR).expanduser().resolve() / "ml-100k.zip"


@pytest.mark.archives
@pytest.mark.skipif(not MIRROR or not REAL.is_file(), reason="RECSYS_MIRROR has no ml-100k.zip")
class TestReal:
    """The real ml-100k, as configured in conf/data/ml-100k.yaml."""

    @pytest.fixture
    def dataset(self, compose: Callable, monkeypatch: pytest.MonkeyPatch) -> Dataset:
        monkeypatch.setenv("RECSYS_MIRROR", str(REAL.parent))
        return hydra.utils.instantiate(compose("data=ml-100k").data, _convert_="all").load()

    def test_counts_and_titles(self, dataset: Dataset) -> None:
        assert (len(dataset), len(dataset.user_ids), len(dataset.item_ids)) == (100_000, 943, 1682)
        titles = dict(zip(dataset.item_ids.ids.tolist(), dataset.item_table["title"], strict=True))
        assert titles[1] == "Toy Story (1995)"
        assert titles[267] == "unknown"
        assert dataset.item_table["year"].isna().sum() == 1
        assert dataset.has_timestamps

    def test_official_folds_equal_the_files_of_the_archive(self, dataset: Dataset) -> None:
        rows, rmse = raw_rows(dataset), {}
        with zipfile.ZipFile(REAL) as file:
            for fold in ("u1", "u2", "u3", "u4", "u5", "ua", "ub"):
                split = OfficialSplit(fold=fold)(dataset)
                lines = file.read(f"ml-100k/{fold}.test").decode().splitlines()
                assert {rows[row] for row in split.test} == {tuple(map(int, line.split())) for line in lines}
                assert len(split.test) == len(lines)
                base = np.concatenate([split.train, split.val])
                mean = dataset.ratings[base].mean(dtype="float64")
                errors = dataset.ratings[split.test] - mean
                rmse[fold] = round(float(np.sqrt((errors**2).mean(dtype="float64"))), 4)
        assert [rmse[f"u{k}"] for k in range(1, 6)] == [1.1537, 1.1307, 1.1116, 1.1133, 1.1187]


@pytest.mark.parametrize("name", ["../../archive", "a/b", "", ".hidden", "..", "a\0"])
def test_a_name_that_leaves_the_data_folder_is_refused(name: str, source: MovieLens) -> None:
    assert [error.split(":")[0] for error in dataclasses.replace(source, name=name).check()] == [
        f"data.name={name!r}"
    ]
    assert not list(source.check())


@pytest.mark.parametrize(
    "requirement",
    [
        "recbole",
        "git+file:///tmp/x",
        "x @ file:///tmp/x.tar.gz",
        "--index-url=http://127.0.0.1",
        "./x",
        "-e.",
        "x==1;y",
    ],
)
def test_a_package_that_pip_would_have_to_build_is_refused(requirement: str, source: MovieLens) -> None:
    (error,) = dataclasses.replace(source, package=(requirement, "0" * 64)).check()
    assert error == f"data.package={requirement!r}: must be name==version, and the sha256 of its wheel"
    assert not list(dataclasses.replace(source, package=("recbole==1.2.1", "0" * 64)).check())


def test_a_mirror_with_a_password_is_refused(source: MovieLens) -> None:
    """The mirror is recorded in every run."""
    (message,) = dataclasses.replace(source, mirror="https://me:secret@host/x").check()
    assert "data.mirror: names the user 'me'" in message
    assert "~/.netrc" in message
    assert "secret" not in message
    for mirror in ("https://host/x", "/folder/me:secret@host", "http://[::bad", None):
        assert list(dataclasses.replace(source, mirror=mirror).check()) == []


def test_the_names_of_columns_of_an_archive_cannot_be_chosen(source: MovieLens, tmp_path: Path) -> None:
    pack(
        tmp_path / "mirror" / "small.zip",
        {"small/ratings.csv": "a,b\n", "small/movies.csv": "movieId,title,genres\n"},
    )
    small = dataclasses.replace(source, name="small", folder="small", reader=read_csv, md5=None)
    with pytest.raises(DataError, match=r"no column 'userId'; the file has 'a', 'b'") as error:
        small.load()
    assert "data.user" not in str(error.value)
