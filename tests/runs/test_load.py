import shutil
from pathlib import Path

import pytest
from support.finished import LEARNED, finished_run

from recsys.errors import ConfigError, RunError
from recsys.runs.folder import write_json
from recsys.runs.load import load_run


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return finished_run(tmp_path_factory.mktemp("run"), [*LEARNED, "split=new-users"])


def test_loads_the_best_or_the_last_checkpoint(run: Path) -> None:
    best, last = load_run(run), load_run(run, "last")
    assert best.checkpoint.epoch == best.result["objective"]["epoch"]
    assert last.checkpoint.epoch == last.result["time"]["epochs"] - 1
    with pytest.raises(ConfigError, match="checkpoint=first: must be best or last"):
        load_run(str(run), "first")


def test_latest_is_the_newest_run(run: Path, tmp_path: Path) -> None:
    shutil.copytree(run, tmp_path / "outputs" / "runs" / "one")
    assert load_run().result == load_run(str(run)).result


def test_folders_without_a_finished_run_are_refused(run: Path, tmp_path: Path) -> None:
    with pytest.raises(RunError, match="run=nowhere: no such folder"):
        load_run("nowhere")
    with pytest.raises(RunError, match="not a run folder"):
        load_run(str(tmp_path))
    (tmp_path / ".hydra").mkdir()
    with pytest.raises(RunError, match="has not finished"):
        load_run(str(tmp_path))
    write_json(tmp_path / "failed.json", {"error": "TrainingError: train/loss is nan"})
    with pytest.raises(RunError, match=r"failed \(TrainingError"):
        load_run(str(tmp_path))
