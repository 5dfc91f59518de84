"""What is the same for all trackers, without optional packages."""

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from omegaconf import OmegaConf
from pytorch_lightning.loggers import CSVLogger, Logger
from support.tiny import QUICK
from support.training import interrupted, train_result
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from recsys.config.validate import validate
from recsys.errors import ConfigError, Pruned, RunError, Stopped, TrainingError
from recsys.experiment.train import train
from recsys.training.trackers.base import CurveLogger, Tracker
from recsys.training.trackers.group import Trackers, open_trackers
from recsys.training.trackers.nodes import check_destinations, watch_commands
from recsys.training.trackers.run import TrackedRun

THIS = "training.trackers.test_group" if __name__.startswith("training") else __name__


class Recording(Tracker):
    """Keeps the names of the calls.

    Args:
        run: the run.
        word: is kept with the status.
    """

    calls: list[str]

    def __init__(self, run: TrackedRun, word: str = "") -> None:
        super().__init__(run)
        self.word = word
        Recording.calls = []

    def connect(self) -> None:
        self.calls.append("connect")

    def start(self, tags: Mapping[str, str]) -> None:
        self.calls.append(f"start {tags['model']}")

    def logger(self, folder: Path, step: int | None, prefix: str) -> Logger:
        self.calls.append(f"logger {folder.name} {step} {prefix!r}")
        return CurveLogger(lambda metrics, step: None)

    def log_result(self, metrics: Mapping[str, float], shown: tuple[str, ...], step: int) -> None:
        self.calls.append(f"result {shown} {step}")

    def close(self, status: str) -> None:
        self.calls.append(f"{status} {self.word}".strip())


RECORDING = {"logger": {"mine": {"_target_": f"{THIS}.Recording", "word": "hello"}}}


class Mine(CSVLogger):
    """A logger of a user."""


def test_a_tracker_of_your_own_follows_a_run(compose, tmp_path: Path) -> None:
    cfg = compose(*QUICK, f"+logger.mine._target_={THIS}.Recording", "+logger.mine.word=hello")
    train(cfg, tmp_path / "run")
    expected = ["connect", "start EmbeddingNet", "logger run None ''", "result ('val/rmse', 'val/mae') 10"]
    assert Recording.calls == [*expected, "completed hello"]


@pytest.mark.slow
def test_a_tracker_knows_the_trainings_of_a_refit_and_the_step_of_a_resumed_one(
    compose, tmp_path: Path
) -> None:
    own = f"+logger.mine._target_={THIS}.Recording"
    train(compose(*QUICK, "model=bias", "refit=true", own), tmp_path / "refit")
    loggers = [call for call in Recording.calls if call.startswith("logger")]
    assert loggers == ["logger first-training None ''", "logger refit None 'refit/'"]
    cfg = compose(*QUICK, "max_epochs=4", "schedule.cycle_epochs=1", own)
    interrupted(cfg, tmp_path / "run", 12)
    assert Recording.calls[-1] == "stopped"
    train(cfg, tmp_path / "run", resume=True)
    assert "logger run 12 ''" in Recording.calls


@pytest.mark.slow
def test_a_resumed_run_keeps_its_csv_files_in_any_folder(compose, tmp_path: Path) -> None:
    folder = tmp_path / "run" / "a"
    cfg = compose(*QUICK, "max_epochs=4", "schedule.cycle_epochs=1", "logger=csv", "logger.csv.version=a")
    interrupted(cfg, tmp_path / "run", 12)
    first = (folder / "metrics.csv").read_text()
    (folder / "metrics-1.csv").write_text("earlier")
    train(cfg, tmp_path / "run", resume=True)
    assert (folder / "metrics-1.csv").read_text() == "earlier"
    assert (folder / "metrics-2.csv").read_text() == first


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (KeyboardInterrupt(), "stopped"),
        (Stopped("", 15), "stopped"),
        (Pruned(), "stopped"),
        (TrainingError(), "failed"),
        (ValueError(), "failed"),
        (SystemExit(), "failed"),
    ],
    ids=repr,
)
def test_the_status_is_how_the_run_ended(error: BaseException, status: str, tmp_path: Path) -> None:
    run = TrackedRun(tmp_path, {})
    with pytest.raises(type(error)), open_trackers(OmegaConf.create(RECORDING), run):
        raise error
    assert Recording.calls[-1] == f"{status} hello"
    with open_trackers(OmegaConf.create(RECORDING), run):
        pass
    assert Recording.calls[-1] == "completed hello"


def test_only_the_first_process_of_a_distributed_run_has_trackers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOCAL_RANK", "1")
    Recording.calls = []
    with open_trackers(OmegaConf.create(RECORDING), TrackedRun(tmp_path, {})) as trackers:
        (logger,) = trackers.loggers(tmp_path, None, "")
        logger.log_metrics({"val/rmse": 1.0}, 3)
        trackers.start({"model": "x"})
        trackers.log_result({}, (), 0)
    assert Recording.calls == []
    assert Trackers({}, TrackedRun(tmp_path, {})).loggers(tmp_path, None, "") == []


@pytest.mark.slow
def test_several_trackers_record_one_run(compose, tmp_path: Path) -> None:
    result = train_result(compose(*QUICK, "logger=[tensorboard,csv]"), tmp_path / "run")
    metrics = result["metrics"]
    events = EventAccumulator(str(tmp_path / "run"), {"scalars": 0, "tensors": 0}).Reload()
    (test,) = events.Scalars("test/rmse")
    assert test.value == pytest.approx(metrics["test/rmse"], rel=1e-5)
    (best,) = events.Scalars("val/best_rmse")
    assert best.value == pytest.approx(metrics["val/rmse"], rel=1e-5)
    (config,) = events.Tensors("config/text_summary")
    assert b"embedding_dim" in config.tensor_proto.string_val[0]
    rows = list(csv.DictReader((tmp_path / "run" / "metrics.csv").read_text().splitlines()))
    assert [row["test/rmse"] for row in rows if row["test/rmse"]] == [str(metrics["test/rmse"])]
    assert [row["val/best_rmse"] for row in rows if row["val/best_rmse"]] == [str(metrics["val/rmse"])]
    assert len([row for row in rows if row["val/rmse"]]) == 2
    written = yaml.safe_load((tmp_path / "run" / "hparams.yaml").read_text())
    assert written == yaml.safe_load((tmp_path / "run" / ".hydra" / "config.yaml").read_text())


def test_a_logger_class_of_your_own_gets_curves_and_results(compose, tmp_path: Path) -> None:
    own = [f"+logger.mine._target_={THIS}.Mine", "+logger.mine.name=''", "+logger.mine.version=''"]
    train(compose(*QUICK, *own), tmp_path / "run")
    header, *_ = (tmp_path / "run" / "metrics.csv").read_text().splitlines()
    assert {"val/rmse", "val/best_rmse", "test/rmse"} <= set(header.split(","))


@pytest.mark.parametrize("none", ["logger=none", "logger=[]", "~logger"])
def test_a_run_needs_no_tracker(none: str, compose, tmp_path: Path) -> None:
    cfg = compose(*[option for option in QUICK if not option.startswith("logger")], none)
    assert train_result(cfg, tmp_path / "run")["status"] == "completed"
    assert watch_commands(cfg, tmp_path / "run") == []


@pytest.mark.parametrize(
    ("name", "packages"), [("mlflow", "mlflow-skinny sqlalchemy alembic"), ("wandb", "wandb")]
)
def test_a_missing_package_is_an_error_before_training(
    name: str, packages: str, compose, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda package: None)
    with pytest.raises(ConfigError, match=rf"^logger\.{name}: needs .*; pip install {packages}$"):
        validate(compose(*QUICK, f"logger={name}"))


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("+logger.mlflow.url=x", r"logger\.mlflow\.url=x: .*MLflowTracker has no argument 'url'"),
        ("logger.mlflow.experiment_name=5", r"logger\.mlflow\.experiment_name=5: should be a valid string"),
        ("+logger.x.y=1", r"logger\.x=\{'y': 1\}: must have the form logger\.<name>\.<key>"),
        ("+logger._target_=a.B", r"logger\._target_=a\.B: must have the form logger\.<name>\.<key>"),
    ],
)
def test_a_wrong_key_is_named(override: str, message: str, compose) -> None:
    with pytest.raises(ConfigError, match=message):
        validate(compose(*QUICK, "logger=mlflow", override))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("logger", "key"),
    [
        ("mlflow", "logger.mlflow.tracking_uri=http://elsewhere"),
        ("mlflow", "logger.mlflow.artifact_location=/home/me"),
        ("wandb", "logger.wandb.offline=false"),
        ("wandb", "logger.wandb.entity=them"),
    ],
)
def test_a_recorded_configuration_sends_nothing_to_a_place_that_was_not_typed(
    logger: str, key: str, compose, tmp_path: Path
) -> None:
    recorded = compose(*QUICK, f"logger={logger}", key)
    for typed in (compose(), compose(f"logger={logger}")):
        with pytest.raises(RunError, match=rf"sends data to another place \({key}\)"):
            check_destinations(recorded, typed, tmp_path)
    check_destinations(recorded, compose(f"logger={logger}", key), tmp_path)
    check_destinations(compose(*QUICK, f"logger={logger}"), compose(), tmp_path)


@pytest.mark.parametrize("logger", ["abc", 5, ["a"], {"a": 1}, {"_target_": "a.b"}, {"a": {"_target_": 1}}])
def test_a_recorded_configuration_of_another_form_is_refused(logger: Any, compose, tmp_path: Path) -> None:
    recorded = OmegaConf.create({"logger": logger})
    with pytest.raises(ConfigError, match=r"^logger.*must have the form"):
        check_destinations(recorded, compose(), tmp_path)


def test_the_closing_commands_name_the_trackers_in_use(compose, tmp_path: Path) -> None:
    cfg = compose("logger=[csv,tensorboard,mlflow,wandb]", "logger.mlflow.tracking_uri=http://host:5000")
    assert watch_commands(cfg, tmp_path / "run") == [
        f"tensorboard --logdir {tmp_path}",
        "http://host:5000",
        f"wandb sync {tmp_path}/run/wandb/offline-run-*",
    ]


def test_the_id_of_a_run_depends_on_its_folder_and_stays_the_same(tmp_path: Path) -> None:
    folders = tmp_path / "a", tmp_path / "b"
    for folder in folders:
        folder.mkdir()
    first = TrackedRun(folders[0], {}).id
    (folders[1] / "trackers.json").write_text((folders[0] / "trackers.json").read_text())
    assert TrackedRun(folders[0], {}).id == first
    assert TrackedRun(folders[1], {}).id != first
    (folders[0] / "trackers.json").unlink()
    assert TrackedRun(folders[0], {}).id != first, "another run in a folder that was emptied"


def test_a_csv_file_is_written_at_least_every_step(compose) -> None:
    cfg = compose(*QUICK, "logger=csv", "+logger.csv.flush_logs_every_n_steps=0")
    with pytest.raises(ConfigError, match=r"^logger\.csv\.flush_logs_every_n_steps=0: must be at least 1$"):
        validate(cfg)
