import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from recsys.errors import ConfigError, RunError
from recsys.runs.folder import find_run, forget_claimed, new_folder, read_json, write_failure, write_json


def test_starts_in_one_second_get_a_folder_each(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as threads:
        folders = list(threads.map(lambda _: new_folder("runs"), range(40)))
    assert len(set(folders)) == 40
    assert all(Path(folder).is_dir() for folder in folders)


def test_a_sweep_has_its_name(tmp_path: Path) -> None:
    assert new_folder("sweeps", None, "layer-widths").endswith("_layer-widths")


def test_a_chosen_folder_must_not_hold_a_run(tmp_path: Path) -> None:
    assert new_folder("runs", "mine") == "mine"
    write_json(Path("mine/result.json"), {})
    with pytest.raises(ConfigError, match=r"output_dir=mine: holds a run already \(result.json\)"):
        new_folder("runs", "mine")
    Path("file").touch()
    with pytest.raises(ConfigError, match="output_dir=file: cannot be made"):
        new_folder("runs", "file")


def test_two_starts_do_not_share_a_chosen_folder(tmp_path: Path) -> None:
    for kind in ("runs", "sweeps"):
        new_folder(kind, f"chosen-{kind}")
        with pytest.raises(ConfigError, match="holds a run already"):
            new_folder(kind, f"chosen-{kind}")


def test_forgetting_leaves_what_others_put_there(tmp_path: Path) -> None:
    for file in (
        "shared/thesis.tex",
        "shared/train-notes.log",
        "shared/0/data.bin",
        "others/.hydra/config.yaml",
    ):
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).touch()
    for kind, folder in (("runs", "own"), ("runs", "shared"), ("sweeps", "sweep"), ("sweeps", "begun")):
        new_folder(kind, str(tmp_path / folder))
    (tmp_path / "own" / "train.log").touch()
    (tmp_path / "shared" / "train.log").touch()
    (tmp_path / "begun" / "0").mkdir()
    (tmp_path / "begun" / "0" / "output.log").touch()
    forget_claimed()
    assert not (tmp_path / "own").exists()
    assert not (tmp_path / "sweep").exists()
    assert (tmp_path / "begun" / "multirun.yaml").exists()
    assert (tmp_path / "others" / ".hydra").exists()
    left = sorted(path.name for path in (tmp_path / "shared").rglob("*"))
    assert left == ["0", "data.bin", "thesis.tex", "train-notes.log"]


def test_a_folder_is_not_made_where_the_users_log_would_be_lost(tmp_path: Path) -> None:
    (tmp_path / "train.log").touch()
    with pytest.raises(ConfigError, match=r"holds a run already \(train.log\)"):
        new_folder("runs", ".")


def test_other_programs_rank_is_not_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "1")
    assert new_folder("runs", "mine") == "mine"
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "x")
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert new_folder("runs", "mine") != "mine", "a second process leaves the folder to the first"


def test_the_first_failure_is_kept(tmp_path: Path) -> None:
    write_failure(tmp_path, ValueError("the cause"), [])
    write_failure(tmp_path, RuntimeError("connection closed by peer"), [])
    assert read_json(tmp_path / "failed.json")["error"] == "ValueError: the cause"


def test_a_file_is_whole_or_not_there(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"x": 1})
    with pytest.raises(ValueError, match="JSON compliant"):
        write_json(tmp_path / "a.json", {"x": float("nan")})
    assert read_json(tmp_path / "a.json") == {"x": 1}
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]


def test_a_failure_keeps_error_and_traceback(tmp_path: Path) -> None:
    try:
        raise ValueError("first line\nsecond line")
    except ValueError as error:
        write_failure(tmp_path, error, ["a=1"])
    content = json.loads((tmp_path / "failed.json").read_text())
    assert content["error"] == "ValueError: first line"
    assert "test_runs.py" in content["traceback"]
    assert content["overrides"] == ["a=1"]


def test_latest_is_the_newest_completed_run_anywhere_under_outputs(tmp_path: Path) -> None:
    for folder in ("outputs/runs/b", "outputs/sweeps/s/3", "outputs/runs/a"):
        Path(folder).mkdir(parents=True)
        write_json(Path(folder, "result.json"), {})
    Path("outputs/runs/unfinished/.hydra").mkdir(parents=True)
    assert find_run("latest") == Path("outputs/runs/a")


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda run: None, "no such folder"),
        (lambda run: run.mkdir(), "not a run folder"),
        (lambda run: (run / ".hydra").mkdir(parents=True), "has not finished"),
        (lambda run: (run.mkdir(), write_failure(run, ValueError("why"), [])), r"failed \(ValueError: why\)"),
    ],
)
def test_what_is_no_finished_run_is_told(make, told: str, tmp_path: Path) -> None:
    make(tmp_path / "run")
    with pytest.raises(RunError, match=told):
        find_run(str(tmp_path / "run"))
