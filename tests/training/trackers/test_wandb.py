"""Weights & Biases in offline mode, read back from its files."""

from pathlib import Path

import pytest
from support.commands import run
from support.tiny import QUICK
from support.training import interrupted, train_result
from support.wandb_file import offline_run

from recsys.errors import ConfigError, TrainingError
from recsys.experiment.train import train
from recsys.runs.entries import check_entries
from recsys.training.trackers.run import TrackedRun
from recsys.training.trackers.wandb import WandbTracker

pytest.importorskip("wandb", reason="pip install wandb")

WANDB = [*QUICK, "logger=wandb"]


@pytest.mark.slow
def test_a_run_is_recorded_in_its_folder(compose, tmp_path: Path) -> None:
    cfg = compose(
        *WANDB, "batch_size=100", "seed=7", "logger.wandb.tags=[mine]", "logger.wandb.project=films"
    )
    result = train_result(cfg, tmp_path / "run")
    content = offline_run(tmp_path / "run")
    assert (content["names"], content["projects"], content["groups"]) == (["run"], ["films"], [""])
    assert content["exit_codes"] == [0]
    expected = [
        "data=synthetic",
        "split=RandomSplit",
        "model=EmbeddingNet",
        "loss=Pointwise",
        "seed=7",
        "mine",
    ]
    assert content["tags"] == expected
    assert content["config"]["optimizer"]["lr"] == cfg.optimizer.lr
    assert content["config"]["model"]["hidden"] == list(cfg.model.hidden)
    points = [point for point in content["history"] if "val/rmse" in point]
    assert [point["trainer/global_step"] for point in points] == [23, 47]
    assert min(point["val/rmse"] for point in points) == pytest.approx(
        result["metrics"]["val/rmse"], rel=1e-5
    )
    assert content["summary"]["status"] == "completed"
    for name, value in result["metrics"].items():
        shown = name if name.startswith("test/") else name.replace("/", "/best_")
        assert content["summary"][shown] == pytest.approx(value), name
    (image,) = (tmp_path / "run").glob("wandb/offline-run-*/files/media/images/data/cross-table_*.png")
    assert image.read_bytes()[:4] == b"\x89PNG"
    check_entries(tmp_path / "run", links=False)
    assert {path.name for path in tmp_path.iterdir()} <= {"run", "data"}


@pytest.mark.slow
def test_a_stopped_run_continues_under_the_same_id(compose, tmp_path: Path) -> None:
    cfg = compose(*WANDB, "max_epochs=4", "schedule.cycle_epochs=1")
    interrupted(cfg, tmp_path / "run", 12)
    stopped = offline_run(tmp_path / "run")
    assert (stopped["exit_codes"], stopped["summary"]["status"]) == ([130], "stopped")
    train(cfg, tmp_path / "run", resume=True)
    content = offline_run(tmp_path / "run")
    assert content["ids"] == 2 * stopped["ids"]
    assert content["exit_codes"] == [130, 0]
    steps = [point["trainer/global_step"] for point in content["history"] if "val/rmse" in point]
    assert steps == [4, 9, 14, 19]


@pytest.mark.slow
def test_the_jobs_of_a_sweep_are_one_group(compose, job_folder) -> None:
    for job in (0, 1):  # in one process, as with hydra/launcher=basic
        train(compose(*WANDB, "model=bias", f"seed={job}"), job_folder(job), overrides=[f"seed={job}"])
    runs = [offline_run(job_folder(job)) for job in (0, 1)]
    assert [run["names"] for run in runs] == [["seed=0"], ["seed=1"]]
    assert [run["groups"] for run in runs] == [["sweep"], ["sweep"]]
    assert runs[0]["ids"] != runs[1]["ids"]
    assert "sweep=sweep" in runs[0]["tags"]


@pytest.mark.slow
def test_a_failed_run_has_the_status_failed(compose, tmp_path: Path) -> None:
    with pytest.raises(TrainingError):
        train(compose(*WANDB, "optimizer=sgd", "optimizer.lr=1e30"), tmp_path / "run")
    content = offline_run(tmp_path / "run")
    assert (content["exit_codes"], content["summary"]["status"]) == ([1], "failed")


def test_sending_needs_an_api_key_and_there_is_no_prompt(compose, tmp_path: Path) -> None:
    cfg = compose(*WANDB, "logger.wandb.offline=false")
    with pytest.raises(ConfigError, match=r"^logger\.wandb\.offline=false: no API key; set WANDB_API_KEY"):
        train(cfg, tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_a_server_that_does_not_answer_is_an_error_before_training(tmp_path: Path) -> None:
    """In a process of its own, because W&B reads its environment once per process."""
    server = {"WANDB_BASE_URL": "http://127.0.0.1:9", "WANDB_API_KEY": "0" * 40}
    sending = [*WANDB, "logger.wandb.offline=false", f"output_dir={tmp_path / 'run'}"]
    error = run("train", *sending, code=1, **server).stderr.splitlines()[-1]
    assert error.startswith("logger.wandb: cannot be used (")
    assert "127.0.0.1:9" in error
    assert server["WANDB_API_KEY"] not in error
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_an_error_of_its_library_during_training_is_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "run").mkdir()
    tracker = WandbTracker(TrackedRun(tmp_path / "run", {}))
    tracker.connect()
    tracker.start({})
    tracker._wandb_run.finish()
    for step in range(3):
        tracker.log_metrics({"train/loss": 0.5}, step)
    tracker.close("completed")
    assert caplog.text.count("Training continues") == 1


def test_the_files_of_a_run_can_be_sent_later(tmp_path: Path) -> None:
    folder = tmp_path / "my run"
    assert WandbTracker.watch(folder, {"offline": True}) == f"wandb sync '{folder}'/wandb/offline-run-*"
    swept = WandbTracker.watch(folder / "*", {"offline": True})
    assert swept == f"wandb sync '{folder}'/*/wandb/offline-run-*"
    assert WandbTracker.watch(folder, {"offline": False}) is None
