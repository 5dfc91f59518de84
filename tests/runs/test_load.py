import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from support.finished import LEARNED, finished_run

from recsys.errors import ConfigError, RunError
from recsys.runs.folder import write_json
from recsys.runs.load import load_run


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return finished_run(tmp_path_factory.mktemp("run"), [*LEARNED, "split=new-users"])


@pytest.mark.slow
def test_loads_the_data_and_the_split_of_the_run(run: Path) -> None:
    loaded = load_run(str(run))
    assert loaded.folder == run
    assert loaded.result["data"]["split"].endswith(loaded.split.fingerprint)
    assert loaded.split_method.describe() in loaded.result["data"]["split"]
    assert len(loaded.dataset) == 12000
    assert int(loaded.trained_users.sum()) == 180
    assert set(np.unique(loaded.dataset.users[loaded.split.test])) == set(
        np.flatnonzero(~loaded.trained_users.numpy())
    )
    assert loaded.trained_items.all()
    ratings = [batch.ratings for batch in loaded.batches("val")]
    assert sum(map(len, ratings)) == loaded.result["data"]["val"]


def test_loads_the_best_or_the_last_checkpoint(run: Path) -> None:
    best, last = load_run(run), load_run(run, "last")
    assert best.checkpoint.epoch == best.result["objective"]["epoch"]
    assert last.checkpoint.epoch == last.result["time"]["epochs"] - 1
    with pytest.raises(ConfigError, match="checkpoint=first: must be best or last"):
        load_run(str(run), "first")


def test_latest_is_the_newest_run(run: Path, tmp_path: Path) -> None:
    shutil.copytree(run, tmp_path / "outputs" / "runs" / "one")
    assert load_run().result == load_run(str(run)).result


def test_changed_data_is_refused(run: Path, tmp_path: Path) -> None:
    other = tmp_path / "run"
    (other / "checkpoints").mkdir(parents=True)
    path = run / "checkpoints" / "best.ckpt"
    content = torch.load(path, weights_only=True)
    content["recsys"]["data"][0] = "0"
    torch.save(content, other / "checkpoints" / "best.ckpt")
    shutil.copy(run / "result.json", other)
    with pytest.raises(RunError, match=r"run=.*have changed.*12000 ratings now, 12000 then"):
        load_run(str(other))


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
