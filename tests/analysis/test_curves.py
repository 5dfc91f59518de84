from pathlib import Path

import pytest
from support.tiny import QUICK
from support.training import train_result

from recsys.analysis.curves import epochs, read_curves, train_loss_is_squared_error
from recsys.models.ensemble import EnsembleScorer
from recsys.models.matrix_factorization import MatrixFactorization


@pytest.mark.slow
@pytest.mark.parametrize("logger", ["tensorboard", "csv"])
@pytest.mark.parametrize("subfolder", ["", "0-lr=1"])
def test_curves_are_read_from_the_run_folder_and_from_subfolders_of_a_sweep(
    compose, tmp_path: Path, logger: str, subfolder: str
) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    cfg = compose(*QUICK, f"logger={logger}", "max_epochs=3", "data.ratings=2900")  # 5 steps per epoch
    if subfolder:
        cfg.logger[logger].name = subfolder
    result = train_result(cfg, folder)
    (folder / "figures").mkdir()
    (folder / "figures" / "events.out.tfevents.1.vm").touch()
    curves = epochs(read_curves(folder))
    assert set(curves) == {"train/loss", "val/rmse", "val/mae", "learning rate"}
    assert curves["val/rmse"].index.tolist() == [1, 2, 3]
    best = result["objective"]
    assert curves["val/rmse"][best["epoch"] + 1] == pytest.approx(best["value"], rel=1e-5)
    assert curves["learning rate"].index.max() <= 3


def test_a_run_without_curves_has_no_epochs(tmp_path: Path) -> None:
    assert epochs(read_curves(tmp_path)) == {}


@pytest.mark.parametrize(("head", "is_squared"), [("linear", True), ("sigmoid", True), ("ordinal", False)])
def test_only_heads_without_a_likelihood_are_trained_on_squared_errors(head: str, is_squared: bool) -> None:
    scorer = MatrixFactorization(4, 5, (1, 5), 3, (1, 2, 3, 4, 5), head=head).scorer()
    assert train_loss_is_squared_error(scorer) == is_squared
    assert train_loss_is_squared_error(EnsembleScorer([scorer, scorer])) == is_squared


@pytest.mark.parametrize("rows", ["9,0.5,abc", "-1,0.5,1", "x,0.5,1", "9,0.5"])
def test_damaged_metrics_are_told(tmp_path: Path, rows: str, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "metrics.csv").write_text(f"step,val/rmse,lr\n4,0.9,0.1\n{rows}\n")
    curves = read_curves(tmp_path)
    if rows == "9,0.5":  # an incomplete last line
        assert curves["val/rmse"].to_dict() == {4: 0.9, 9: 0.5}
    else:
        assert curves == {}
        assert "its curves cannot be read" in caplog.text


def test_metrics_of_a_resumed_run_are_joined(tmp_path: Path) -> None:
    (tmp_path / "metrics-1.csv").write_text("step,val/rmse,train/loss\n4,,1.5\n4,0.9,\n9,0.7,\n")
    (tmp_path / "metrics.csv").write_text("step,val/rmse\n9,0.8\n14,0.6\n")
    curves = read_curves(tmp_path)
    assert curves["val/rmse"].to_dict() == {4: 0.9, 9: 0.8, 14: 0.6}
    assert curves["train/loss"].to_dict() == {4: 1.5}
