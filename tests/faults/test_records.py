"""Malformed records of runs: each is skipped with a reason, and the other runs are compared."""

import copy
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.commands import run
from support.nested import container_of, nodes
from support.run_records import write_run
from support.tiny import QUICK

from recsys.cli.compare import find_sweep
from recsys.errors import RunError
from recsys.experiment.average import members_in
from recsys.experiment.compose import compose
from recsys.experiment.train import train
from recsys.leaderboard.names import swept_keys
from recsys.leaderboard.report import compare
from recsys.leaderboard.runs import read_runs
from recsys.runs.folder import MAX_JSON_SIZE, find_run
from recsys.runs.load import load_run
from recsys.sweeps.job import value_in

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from(
        ["$", "$\\frac$", "nan", "sweep=/", "val/", 1e308, -1e308, 10**400, 2**63, 0, "\ud800"]
    ),
    lambda values: st.lists(values, max_size=3) | st.dictionaries(st.text(max_size=3), values, max_size=3),
    max_leaves=5,
)


def changed(content: dict, path: tuple, change: Callable[[Any, Any], None]) -> str:
    """Return JSON in which one value is changed by `change`, a function of its container and key."""
    content = copy.deepcopy(content)
    change(container_of(content, path), path[-1])
    return json.dumps(content)


def put(value: Any) -> Callable[[Any, Any], None]:
    def change(container: Any, key: Any) -> None:
        container[key] = value

    return change


def delete(container: Any, key: Any) -> None:
    del container[key]


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The result.json of a run, with overrides."""
    folder = tmp_path_factory.mktemp("run") / "run"
    overrides = ["model=bias", "optimizer.lr=0.01"]
    train(compose(*QUICK, *overrides, "ranking.k=3"), folder, overrides)
    return json.loads((folder / "result.json").read_text())


def write_others(folder: Path, result: dict[str, Any]) -> None:
    """Write two records with another learning rate."""
    for name, rate in (("a", "0.02"), ("b", "0.03")):
        (folder / name).mkdir(parents=True)
        content = result | {"overrides": ["model=bias", f"optimizer.lr={rate}"]}
        (folder / name / "result.json").write_text(json.dumps(content))


@pytest.mark.slow
@pytest.mark.parametrize(("page", "examples"), [(False, 300), (True, 15)])
def test_any_change_of_a_record_is_valid_or_skipped(
    result: dict, tmp_path: Path, capsys: pytest.CaptureFixture[str], page: bool, examples: int
) -> None:
    write_others(tmp_path, result)
    (tmp_path / "changed").mkdir()
    counts = {"valid": 0, "skipped": 0}

    @settings(max_examples=examples)
    @given(st.sampled_from(list(nodes(result))), st.just(delete) | JSON.map(put))
    def check(path: tuple, change: Callable[[Any, Any], None]) -> None:
        (tmp_path / "changed" / "result.json").write_text(changed(result, path, change))
        names = [record.name for record in read_runs(tmp_path)]
        counts["valid" if "changed" in names else "skipped"] += 1
        assert names in (["a", "b", "changed"], ["a", "b"])
        assert {"a", "b"} <= {member.name for member in members_in(tmp_path)}
        capsys.readouterr()
        try:
            compare([tmp_path], page=tmp_path / "page.html" if page else None)
        except RunError as error:  # for example other data
            assert "changed" in names
            assert "select runs with the same" in str(error)
        else:
            assert "optimizer.lr=0.0" in capsys.readouterr().out

    check()
    assert min(counts.values()) > 0


RECORDS = {
    "empty": b"",
    "list": b"[1]",
    "no keys": b"{}",
    "not UTF-8": b'{"status": "\xff"}',
    "nested": b"[" * 100_000,
    "nested object": b'{"a":' * 100_000,
    "long number": b'{"status": ' + b"9" * 5000 + b"}",
    "large": b" " * (MAX_JSON_SIZE + 1),
}


@pytest.mark.parametrize("name", ["result.json", "failed.json"])
@pytest.mark.parametrize("content", [*RECORDS.values(), "folder", "fifo"], ids=[*RECORDS, "folder", "fifo"])
def test_a_malformed_file_is_skipped_with_a_reason(
    name: str, content: bytes | str, tmp_path: Path, caplog: pytest.LogCaptureFixture, capsys
) -> None:
    write_run(tmp_path / "good", ["seed=1"], 0.9)
    file = tmp_path / "bad" / name
    file.parent.mkdir()
    if isinstance(content, bytes):
        file.write_bytes(content)
    elif content == "fifo":
        os.mkfifo(file)
    else:
        file.mkdir()
    compare([tmp_path])
    assert "best: recsys-train seed=1" in capsys.readouterr().out
    assert members_in(tmp_path) == [tmp_path / "good"]
    (message,) = [record.getMessage() for record in caplog.records][:1]
    assert message.startswith(f"skipped: {file}: ")
    assert len(message) < len(str(file)) + 200
    with pytest.raises(RunError, match="bad"):
        find_run(str(file.parent)) and load_run(str(file.parent))


@pytest.mark.parametrize("epochs", [10**30, -1, None])
def test_a_run_with_an_impossible_number_of_epochs_is_not_ranked(epochs: int | None, tmp_path: Path) -> None:
    write_run(tmp_path / "bad", ["seed=1"], 0.9)
    write_run(tmp_path / "good", ["seed=2"], 0.9)
    file = tmp_path / "bad" / "result.json"
    file.write_text(changed(json.loads(file.read_text()), ("time", "epochs"), put(epochs)))
    assert [record.name for record in read_runs(tmp_path)] == ["good"]


@pytest.mark.parametrize("content", [b"\xff", b"{}", b'{"error": 3}'], ids=str)
def test_a_failed_run_with_a_malformed_record_is_reported(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "failed.json").write_bytes(content)
    with pytest.raises(RunError, match=r"run=.*: this run failed \(.*failed\.json does not say why\)"):
        find_run(str(tmp_path))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["result.json", "failed.json"])
def test_a_command_reports_a_malformed_record_without_a_traceback(name: str, tmp_path: Path) -> None:
    folder = train(compose(*QUICK, "model=bias", "max_epochs=1"), tmp_path / "run").folder
    content = json.loads((folder / "result.json").read_text())
    (folder / "result.json").unlink()
    (folder / name).write_text(json.dumps(content | {"data": None, "error": None}))
    done = run("recommend", f"run={folder}", "user=1", code=1)
    assert f"{folder}/{name}" in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("content", ["{}", '{"swept": "seed"}', '{"swept": [1]}', "[]"])
def test_a_malformed_record_of_a_sweep_is_reported(content: str, tmp_path: Path) -> None:
    (tmp_path / "sweep.json").write_text(content)
    with pytest.raises(RunError, match=r"sweep\.json: (not a valid record|cannot be read)"):
        swept_keys(tmp_path / "0")


def test_a_malformed_objective_is_reported(tmp_path: Path) -> None:
    (tmp_path / "result.json").write_text('{"objective": {"name": "val/rmse", "mode": "min", "value": NaN}}')
    with pytest.raises(RunError, match=r"result\.json: not a valid record \(objective\.value: .*finite"):
        value_in(tmp_path)


def test_latest_is_never_something_that_is_not_a_file(tmp_path: Path) -> None:
    write_run(tmp_path / "outputs" / "sweeps" / "s" / "0", [], 0.9)
    for name in ("folder", "link"):
        (tmp_path / "outputs" / "sweeps" / "t" / name).mkdir(parents=True)
    (tmp_path / "outputs" / "sweeps" / "t" / "folder" / "result.json").mkdir()
    (tmp_path / "outputs" / "sweeps" / "t" / "link" / "result.json").symlink_to("nowhere")
    assert find_run("latest") == Path("outputs/sweeps/s/0")
    assert find_sweep("latest") == Path("outputs/sweeps/s")
