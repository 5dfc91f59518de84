"""MLflow with a SQLite store, read back with MLflow's own client."""

import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from matplotlib.figure import Figure
from support.commands import run
from support.tiny import QUICK
from support.training import interrupted, train_result

from recsys.config.validate import validate
from recsys.errors import ConfigError, TrainingError
from recsys.experiment.train import train
from recsys.runs.record import flattened
from recsys.training.trackers.mlflow import MLflowTracker, mlflow_name
from recsys.training.trackers.run import TrackedRun

HOW = "pip install mlflow-skinny sqlalchemy alembic"
pytest.importorskip("mlflow", reason=HOW)
pytest.importorskip("sqlalchemy", reason=HOW)
pytest.importorskip("alembic", reason=HOW)

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of MLflow with the newest SQLAlchemy
MLFLOW = [*QUICK, "logger=mlflow"]


def client(uri: str = "") -> Any:
    from mlflow import MlflowClient

    return MlflowClient(uri or f"sqlite:///{Path('outputs/mlflow.db').absolute()}")


def recorded(uri: str = "") -> list[Any]:
    """Return all MLflow runs, the oldest first."""
    store = client(uri)
    experiment = store.get_experiment_by_name("recsys")
    return store.search_runs([experiment.experiment_id], order_by=["attributes.start_time"])


@pytest.fixture(scope="module")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database without runs; MLflow takes seconds to create one."""
    path = tmp_path_factory.mktemp("store") / "mlflow.db"
    client(f"sqlite:///{path}").search_experiments()
    return path


@pytest.fixture
def store(empty_store: Path, tmp_path: Path) -> None:
    """Copy an empty database to the default place."""
    (tmp_path / "outputs").mkdir()
    shutil.copy(empty_store, tmp_path / "outputs" / "mlflow.db")


@pytest.fixture
def tracker(store: None, tmp_path: Path) -> MLflowTracker:
    """A tracker that has begun its run."""
    (tmp_path / "run").mkdir()
    tracker = MLflowTracker(TrackedRun(tmp_path / "run", {"seed": 1}))
    tracker.connect()
    tracker.start({})
    return tracker


@pytest.mark.slow
def test_a_run_is_recorded(compose, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    cfg = compose(*MLFLOW, "batch_size=100", "seed=7", "+logger.mlflow.tags.team=search")
    result = train_result(cfg, tmp_path / "mine")
    (found,) = recorded()
    assert found.info.run_name == "mine"
    assert found.info.status == "FINISHED"
    tags = {"data": "synthetic", "split": "RandomSplit", "model": "EmbeddingNet", "loss": "Pointwise"}
    tags |= {"seed": "7", "team": "search", "status": "completed", "folder": str(tmp_path / "mine")}
    assert tags.items() <= found.data.tags.items()
    recorded_config = yaml.safe_load((tmp_path / "mine" / ".hydra" / "config.yaml").read_text())
    assert found.data.params == {key: str(value) for key, value in flattened(recorded_config).items()}
    for name, value in result["metrics"].items():
        shown = name if name.startswith("test/") else name.replace("/", "/best_")
        assert found.data.metrics[shown.replace("@", "_at_")] == pytest.approx(value), name
    assert "test/ndcg_at_10" in found.data.metrics
    curve = client().get_metric_history(found.info.run_id, "val/rmse")
    assert [point.step for point in curve] == [23, 47]
    assert min(point.value for point in curve) == pytest.approx(result["metrics"]["val/rmse"], rel=1e-5)
    assert {"train/loss", "lr"} <= found.data.metrics.keys()
    artifacts = tmp_path / "outputs" / "mlartifacts" / found.info.run_id / "artifacts"
    assert yaml.safe_load((artifacts / "config.yaml").read_text()) == recorded_config
    assert (artifacts / "data" / "cross-table.png").read_bytes()[:4] == b"\x89PNG"
    assert not [record for record in caplog.records if record.name.startswith(("mlflow", "alembic"))]
    assert "MLflow run" in (tmp_path / "mine" / "train.log").read_text()


@pytest.mark.slow
@pytest.mark.usefixtures("store")
def test_the_jobs_of_a_sweep_are_nested_under_one_run(compose, job_folder) -> None:
    for job in (0, 1):
        cfg = compose(*MLFLOW, "model=bias", f"seed={job}")
        train(cfg, job_folder(job), overrides=[f"seed={job}"])
    parent, *jobs = recorded()
    assert [job.info.run_name for job in jobs] == ["seed=0", "seed=1"]
    assert {job.data.tags["mlflow.parentRunId"] for job in jobs} == {parent.info.run_id}
    assert {job.data.tags["sweep"] for job in jobs} == {"sweep"}
    assert (parent.info.run_name, parent.info.status) == ("sweep", "FINISHED")
    assert parent.data.tags["swept"] == "seed"
    assert parent.info.end_time >= jobs[1].info.end_time


@pytest.mark.slow
@pytest.mark.usefixtures("store")
def test_a_stopped_run_continues_in_the_same_mlflow_run(compose, tmp_path: Path) -> None:
    cfg = compose(*MLFLOW, "max_epochs=4", "schedule.cycle_epochs=1")
    interrupted(cfg, tmp_path / "run", 12)
    (stopped,) = recorded()
    assert stopped.info.status == "KILLED"
    assert stopped.data.tags["status"] == "stopped"
    result = train_result(cfg, tmp_path / "run", resume=True)
    (found,) = recorded()
    assert found.info.run_id == stopped.info.run_id
    assert found.info.status == "FINISHED"
    assert found.data.metrics["test/rmse"] == pytest.approx(result["metrics"]["test/rmse"])
    steps = [point.step for point in client().get_metric_history(found.info.run_id, "val/rmse")]
    assert steps == [4, 9, 14, 19]


@pytest.mark.slow
@pytest.mark.usefixtures("store")
def test_a_copy_of_a_run_folder_is_another_mlflow_run(compose, tmp_path: Path) -> None:
    """Otherwise resuming the run of someone else could change one of your own."""
    cfg = compose(*MLFLOW, "max_epochs=4", "schedule.cycle_epochs=1")
    interrupted(cfg, tmp_path / "run", 12)
    shutil.copytree(tmp_path / "run", tmp_path / "copy")
    train(cfg, tmp_path / "copy", resume=True)
    assert [one.info.status for one in recorded()] == ["KILLED", "FINISHED"]


@pytest.mark.slow
@pytest.mark.usefixtures("store")
def test_a_failed_run_has_the_status_failed(compose, tmp_path: Path) -> None:
    with pytest.raises(TrainingError):
        train(compose(*MLFLOW, "optimizer=sgd", "optimizer.lr=1e30"), tmp_path / "run")
    (found,) = recorded()
    assert (found.info.status, found.data.tags["status"]) == ("FAILED", "failed")


@pytest.mark.slow
@pytest.mark.usefixtures("store")
def test_both_trainings_of_a_refit_are_one_run(compose, tmp_path: Path) -> None:
    result = train_result(compose(*MLFLOW, "model=bias", "refit=true"), tmp_path / "run")
    (found,) = recorded()
    assert {"val/rmse", "train/loss", "refit/train/loss"} <= found.data.metrics.keys()
    assert found.data.metrics["test/rmse"] == pytest.approx(result["metrics"]["test/rmse"])
    epochs = [point.value for point in client().get_metric_history(found.info.run_id, "refit/epoch")]
    assert max(epochs) + 1 == result["refit"]["epochs"]


@pytest.mark.slow
def test_two_processes_are_one_run(tmp_path: Path) -> None:
    devices = ["hardware=ddp", "hardware.accelerator=cpu", f"output_dir={tmp_path / 'run'}"]
    run("train", *[option for option in MLFLOW if option != "hardware=cpu"], *devices)
    (found,) = recorded()
    assert found.info.status == "FINISHED"
    assert len(client().get_metric_history(found.info.run_id, "val/rmse")) == 2


@pytest.mark.parametrize(
    "uri", ["http://127.0.0.1:9", "sqlite:////dev/null/x.db", "file:///nowhere/mlruns", "nonsense://x"]
)
def test_a_store_that_cannot_be_used_is_an_error_before_training(uri: str, compose, tmp_path: Path) -> None:
    cfg = compose(*MLFLOW, f"logger.mlflow.tracking_uri={uri}")
    with pytest.raises(
        ConfigError, match=r"^logger\.mlflow: cannot be used \(.*logger=tensorboard$"
    ) as error:
        train(cfg, tmp_path / "run")
    assert len(str(error.value).splitlines()) == 1
    assert not (tmp_path / "run").exists()


def test_a_password_is_neither_recorded_nor_shown(
    compose, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    uri = "http://user:secret@127.0.0.1:9"
    cfg = compose(*MLFLOW, f"logger.mlflow.tracking_uri='{uri}'")
    with pytest.raises(ConfigError, match=r"^logger\.mlflow\.tracking_uri: contains a password") as error:
        validate(cfg)
    assert "secret" not in str(error.value)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    with pytest.raises(ConfigError, match=r"127\.0\.0\.1") as error:
        train(compose(*MLFLOW), tmp_path / "run")
    assert "secret" not in str(error.value)
    assert "secret" not in str(MLflowTracker.watch(tmp_path, {}))


def test_a_server_that_fails_during_training_gets_the_curves_later(
    tracker: MLflowTracker, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*arguments: object, **named: object) -> None:
        raise ConnectionError("connection refused")

    monkeypatch.setattr("recsys.training.trackers.mlflow.FLUSH_SECONDS", 0)
    with monkeypatch.context() as broken:
        broken.setattr(tracker._client, "log_batch", fail)
        tracker._next_flush = 0
        for step in range(3):
            tracker.log_metrics({"train/loss": 0.5}, step)
    assert caplog.text.count("connection refused") == 1
    tracker.log_metrics({"train/loss": 0.5}, 3)
    tracker.close("completed")
    (found,) = recorded()
    assert found.info.status == "FINISHED"
    assert [point.step for point in client().get_metric_history(found.info.run_id, "train/loss")] == [
        0,
        1,
        2,
        3,
    ]


def test_a_server_that_stays_away_costs_values_and_not_the_run(
    tracker: MLflowTracker, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*arguments: object, **named: object) -> None:
        raise ConnectionError("connection refused")

    for method in ("log_batch", "set_terminated", "set_tag", "log_figure"):
        monkeypatch.setattr(tracker._client, method, fail)
    tracker.log_figure("data/cross-table", Figure)
    tracker.log_metrics({"train/loss": 0.5}, 0)
    tracker.log_result({"val/rmse": 0.9, "test/rmse": 0.91}, ("val/rmse",), 1)
    tracker.close("completed")
    assert "connection refused" in caplog.text
    assert "MLflow: 3 values could not be sent; the run folder has the result and the weights" in caplog.text


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("test/ndcg@10", "test/ndcg_at_10"),
        ("val/rmse", "val/rmse"),
        ("lr-Adam/a b", "lr-Adam/a b"),
        ("a(b)", "a_b_"),
    ],
)
def test_names_have_the_characters_that_mlflow_allows(name: str, expected: str) -> None:
    assert mlflow_name(name) == expected


@pytest.mark.parametrize(
    ("installed", "command"),
    [
        ({"mlflow": "3.17.2", "mlflow-skinny": "3.17.2"}, "mlflow ui"),
        ({"mlflow-skinny": "3.17.2"}, "pipx run --spec mlflow==3.17.2 mlflow ui"),
    ],
)
def test_runs_are_shown_by_a_command_or_at_an_address(
    installed: dict[str, str], command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("recsys.training.trackers.mlflow_store.version_of", installed.get)
    file = f"sqlite:///{tmp_path}/outputs/mlflow.db"
    assert MLflowTracker.watch(tmp_path, {}) == f"{command} --backend-store-uri {file}"
    assert MLflowTracker.watch(tmp_path, {"tracking_uri": "http://host:5000"}) == "http://host:5000"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://me:secret@host:5000")
    assert MLflowTracker.watch(tmp_path, {}) == "http://host:5000"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "postgresql://me:secret@host/db")
    assert MLflowTracker.watch(tmp_path, {}) == f'{command} --backend-store-uri "$MLFLOW_TRACKING_URI"'
