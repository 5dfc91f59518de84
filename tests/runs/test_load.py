import shutil
from pathlib import Path

import numpy as np
import pytest
from support.finished import LEARNED, finished_run

from recsys.errors import ConfigError, RunError
from recsys.runs.folder import read_json, write_json
from recsys.runs.load import load_run


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return finished_run(tmp_path_factory.mktemp("run"), [*LEARNED, "split=new-users"])


def test_network_data_and_split_are_the_runs_own(run: Path) -> None:
    opened = load_run(str(run))
    assert opened.folder == run
    assert opened.result["data"]["split"].endswith(opened.split.fingerprint)
    assert len(opened.dataset) == 12000
    assert int(opened.trained_users.sum()) == 180
    assert set(np.unique(opened.dataset.users[opened.split.test])) == set(
        np.flatnonzero(~opened.trained_users.numpy())
    )
    assert opened.trained_items.all()
    ratings = [batch.ratings for batch in opened.batches("val")]
    assert sum(map(len, ratings)) == opened.result["data"]["val"]
    assert load_run(str(run), "last").trained.epoch == opened.result["time"]["epochs"] - 1


def test_latest_is_the_newest(run: Path, tmp_path: Path) -> None:
    shutil.copytree(run, tmp_path / "outputs" / "runs" / "one")
    assert load_run().result == load_run(str(run)).result


def test_other_data_are_refused(run: Path, tmp_path: Path) -> None:
    other = tmp_path / "run"
    (other / "checkpoints").mkdir(parents=True)
    (other / "checkpoints" / "best.ckpt").write_bytes((run / "checkpoints" / "best.ckpt").read_bytes())
    result = read_json(run / "result.json")
    result["data"]["sha256"] = "0"
    write_json(other / "result.json", result)
    with pytest.raises(
        RunError,
        match="no longer what the run was trained on, or another version drew it; "
        "now 12000 ratings, then 12000",
    ):
        load_run(str(other))


def test_what_is_no_finished_run_is_told(run: Path, tmp_path: Path) -> None:
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
    with pytest.raises(ConfigError, match="checkpoint=first: choose best or last"):
        load_run(str(run), "first")
