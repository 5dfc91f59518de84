import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from support.finished import LEARNED, finished_run

from recsys.errors import RunError
from recsys.runs.load import load_run
from recsys.runs.ratings import load_ratings


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return finished_run(tmp_path_factory.mktemp("run"), [*LEARNED, "split=new-users", "max_epochs=1"])


def test_reads_the_ratings_and_the_split_of_the_run(run: Path) -> None:
    loaded = load_run(run)
    ratings = load_ratings(loaded)
    assert len(ratings.dataset) == 12000
    assert loaded.result["data"]["split"].endswith(ratings.split.fingerprint)
    assert ratings.split_method.describe() in loaded.result["data"]["split"]
    assert int(loaded.data.trained_users.sum()) == 180
    assert set(np.unique(ratings.dataset.users[ratings.split.test])) == set(
        np.flatnonzero(~loaded.data.trained_users.numpy())
    )
    assert sum(len(batch.ratings) for batch in ratings.batches("val")) == loaded.result["data"]["val"]


def changed(run: Path, folder: Path, **values: object) -> Path:
    """Copy a run, with other values in the metadata of its checkpoint."""
    shutil.copytree(run, folder)
    path = folder / "checkpoints" / "best.ckpt"
    content = torch.load(path, weights_only=True)
    for key, value in values.items():
        content["recsys"][key] = value
    torch.save(content, path)
    return folder


def test_changed_ratings_are_refused(run: Path, tmp_path: Path) -> None:
    content = torch.load(run / "checkpoints" / "best.ckpt", weights_only=True)
    other = changed(run, tmp_path / "run", data=["0", content["recsys"]["data"][1]])
    with pytest.raises(
        RunError, match=r"ratings of synthetic have changed, or .*; the run can still recommend"
    ):
        load_ratings(load_run(other))
    result = json.loads((other / "result.json").read_text())
    result["data"]["ratings"] = 11999
    (other / "result.json").write_text(json.dumps(result))
    with pytest.raises(RunError, match=r"have changed \(12000 now, 11999 then\), or "):
        load_ratings(load_run(other))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"_target_": "recsys.data.sources.table.Table"}, "configuration of data is not valid"),
        ({"_target_": "recsys.data.splits.RandomSplit"}, "data is a RandomSplit, not a Source"),
        ({"_target_": "recsys.data.sources.table.Table", "path": "gone.csv"}, r"data\.path=gone\.csv"),
        ({"_target_": "recsys.data.sources.synthetic.Synthetic", "users": "x"}, "not valid .TypeError"),
        ("nonsense", "configuration of data is not valid"),
        (None, "data is a NoneType"),
    ],
)
def test_a_configuration_that_cannot_work_is_refused(
    data: object, message: str, run: Path, tmp_path: Path
) -> None:
    config = load_run(run).checkpoint.config
    other = changed(run, tmp_path / "run", config={**config, "data": data})
    with pytest.raises(RunError, match=message):
        load_ratings(load_run(other))
