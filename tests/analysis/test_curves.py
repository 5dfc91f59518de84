from pathlib import Path

import pytest
from support.tiny import QUICK

from recsys.analysis.curves import epochs, read_curves
from recsys.experiment.train import train


@pytest.mark.parametrize("logger", ["tensorboard", "csv"])
@pytest.mark.parametrize("below", ["", "0-lr=1"])
def test_curves_are_read_where_the_run_or_the_sweep_left_them(
    compose, tmp_path: Path, logger: str, below: str
) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    cfg = compose(*QUICK, f"logger={logger}", "max_epochs=3", "data.ratings=2900")  # 5 steps an epoch
    if below:
        cfg.logger.name = below
    result = train(cfg, folder)
    (folder / "figures").mkdir()
    (folder / "figures" / "events.out.tfevents.1.vm").touch()
    curves = epochs(read_curves(folder))
    assert set(curves) == {"train/loss", "val/rmse", "val/mae", "learning rate"}
    assert curves["val/rmse"].index.tolist() == [1, 2, 3]
    best = result["objective"]
    assert curves["val/rmse"][best["epoch"] + 1] == pytest.approx(best["value"], rel=1e-5)
    assert curves["learning rate"].index.max() <= 3


def test_a_run_without_curves(tmp_path: Path) -> None:
    assert epochs(read_curves(tmp_path)) == {}
