"""Run folders: created, locked and recorded, also when two processes want the same one."""

import json
import logging
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf
from support.tiny import QUICK

from recsys.errors import ConfigError, Pruned, RunError, Stopped, UserError
from recsys.experiment.compose import compose
from recsys.experiment.train import train
from recsys.runs.folder import find_run, read_json, resume_command, write_failure, write_json
from recsys.runs.record import recorded_config, resolve_config
from recsys.runs.start import open_run

CONFIG: dict[str, Any] = {"seed": 1}


def start(folder: Path | None = None, resume: bool = False) -> Path:
    with open_run(folder, CONFIG, ["seed=1"], resume) as opened:
        return opened


def names(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


def test_starts_at_the_same_time_get_different_folders(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as threads:
        folders = list(threads.map(lambda _: start(), range(40)))
    assert len(set(folders)) == 40
    for folder in folders:
        assert folder.parent == tmp_path / "outputs" / "runs"
        assert re.fullmatch(r"\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d-\d{6}", folder.name)


def test_a_folder_records_configuration_and_overrides(tmp_path: Path) -> None:
    start(tmp_path / "run")
    assert names(tmp_path / "run") == {
        *(".hydra", ".hydra/config.yaml", ".hydra/overrides.yaml", ".hydra/hydra.yaml", "train.log")
    }
    assert recorded_config(tmp_path / "run") == CONFIG
    assert OmegaConf.load(tmp_path / "run" / ".hydra" / "overrides.yaml") == ["seed=1"]


def test_the_recorded_configuration_is_resolved(tmp_path: Path) -> None:
    cfg = compose("data=table", "data.path=mine.csv", "output_dir=x", "seed=${split.seed}")
    config = resolve_config(cfg)
    assert config["data"]["path"] == str(tmp_path / "mine.csv")
    assert config["seed"] == config["split"]["seed"]
    assert config["output_dir"] is None, "concerns this start only"
    assert resolve_config(OmegaConf.create(config)) == config


@pytest.mark.parametrize(
    "file", ["result.json", "failed.json", ".hydra", "train.log", "sweep.json", "multirun.yaml"]
)
def test_a_used_folder_is_refused_and_stays_as_it_is(file: str, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / file).write_text("old")
    with pytest.raises(
        ConfigError, match=rf"output_dir=.*mine: already holds a run or sweep \({re.escape(file)}\)"
    ):
        start(tmp_path / "mine")
    assert names(tmp_path / "mine") == {file}
    assert (tmp_path / "mine" / file).read_text() == "old"


def test_a_file_in_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match=r"output_dir=.*file: cannot be created"):
        start(tmp_path / "file")


def test_a_folder_in_use_is_refused(tmp_path: Path) -> None:
    with open_run(tmp_path / "run", CONFIG, []) as folder:
        before = names(folder)
        for resume in (False, True):
            with pytest.raises(ConfigError, match=r"run: another process is running in this folder"):
                start(folder, resume)
        assert names(folder) == before


RACE = """
import sys, time
from pathlib import Path
from recsys.errors import ConfigError
from recsys.runs.start import open_run

while not Path("go").exists():
    time.sleep(0.001)
try:
    with open_run(Path("run"), {}, []):
        print("won")
except ConfigError:
    print("lost")
"""


@pytest.mark.slow
def test_one_of_several_processes_gets_the_folder(tmp_path: Path) -> None:
    processes = [
        subprocess.Popen([sys.executable, "-c", RACE], stdout=subprocess.PIPE, text=True) for _ in range(4)
    ]
    time.sleep(3)
    Path("go").touch()
    assert sorted(process.communicate(timeout=60)[0].strip() for process in processes) == ["lost"] * 3 + [
        "won"
    ]


def test_a_refused_configuration_leaves_only_the_files_of_others(tmp_path: Path) -> None:
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared" / "thesis.tex").touch()
    for folder in (None, tmp_path / "new" / "deep", tmp_path / "shared"):
        with pytest.raises(ConfigError, match="no"), open_run(folder, CONFIG, []):
            raise ConfigError("no")
    assert not (tmp_path / "outputs").exists()
    assert not (tmp_path / "new").exists()
    assert names(tmp_path / "shared") == {"thesis.tex"}


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (RunError("why"), "failed"),
        (MemoryError("why"), "failed"),
        (Pruned("why"), "pruned"),
        (Stopped("why", 15), None),
        (KeyboardInterrupt(), None),
    ],
)
def test_a_failure_is_recorded_but_a_stopped_run_is_unfinished(
    error: BaseException, status: str | None, tmp_path: Path
) -> None:
    with pytest.raises(type(error)), open_run(tmp_path / "run", CONFIG, ["seed=1"]):
        raise error
    failed = tmp_path / "run" / "failed.json"
    assert failed.exists() == (status is not None)
    if status:
        assert read_json(failed)["status"] == status
        assert read_json(failed)["overrides"] == ["seed=1"]


@pytest.mark.parametrize(
    "error", [OSError(28, "No space left on device"), ConfigError("late"), KeyboardInterrupt()]
)
def test_a_finished_run_is_not_touched_by_a_later_error(error: BaseException, tmp_path: Path) -> None:
    def finish_and_fail() -> None:
        with open_run(tmp_path / "run", CONFIG, []) as folder:
            write_json(folder / "result.json", {})
            raise error

    with pytest.raises(type(error)):
        finish_and_fail()
    kept = {path.name for path in (tmp_path / "run").iterdir()}
    assert kept == {".hydra", "train.log", "result.json"}


def test_pruning_is_not_an_error_of_the_user() -> None:
    assert not issubclass(Pruned, UserError)


@pytest.mark.parametrize(
    "variables",
    [
        {"LOCAL_RANK": "1"},
        {"TORCHELASTIC_RUN_ID": "x", "WORLD_SIZE": "2", "RANK": "1", "LOCAL_RANK": "0"},
        {"SLURM_PROCID": "1", "SLURM_NTASKS": "2"},
    ],
)
def test_other_processes_of_a_run_have_a_temporary_folder(
    variables: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with open_run(tmp_path / "run", CONFIG, []) as folder:
        assert folder != tmp_path / "run"
        (folder / "file").touch()
    assert not folder.exists()
    assert not (tmp_path / "run").exists()


def test_the_rank_of_other_programs_is_ignored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "1")
    assert start(tmp_path / "run") == tmp_path / "run"


@pytest.mark.slow
def test_python_users_get_a_run_with_its_log(tmp_path: Path) -> None:
    """Outside pytest, whose log handlers are there already: epochs are also printed to stderr."""
    script = "from recsys import compose, train; import logging, sys\n"
    script += "run = train(compose(*sys.argv[1:]), folder='outputs/mine')\n"
    script += "print(run.folder, run.metrics == run.result['metrics'], len(logging.getLogger().handlers))"
    done = subprocess.run(
        [sys.executable, "-c", script, *QUICK], capture_output=True, text=True, check=True, timeout=120
    )
    assert done.stdout.split() == [str(tmp_path / "outputs" / "mine"), "True", "0"]
    assert "epoch 2: val/rmse" in done.stderr
    assert "epoch 2: val/rmse" in (tmp_path / "outputs" / "mine" / "train.log").read_text()


@pytest.mark.slow
def test_train_honours_output_dir_and_restores_logging(tmp_path: Path) -> None:
    level, handlers = logging.getLogger("recsys").level, list(logging.getLogger().handlers)
    run = train(compose(*QUICK, "output_dir=mine"))
    assert run.folder == tmp_path / "mine"
    assert (logging.getLogger("recsys").level, logging.getLogger().handlers) == (level, handlers)
    with pytest.raises(ConfigError, match="already holds a run"):
        train(compose(*QUICK, "output_dir=mine"))
    with pytest.raises(ConfigError, match=r"train\(cfg, folder, resume=True\)"):
        train(compose(*QUICK, "run=mine", "resume=true"))


@pytest.mark.slow
def test_importing_recsys_changes_nothing() -> None:
    code = (
        "import os, sys; before = dict(os.environ); import recsys; assert dict(os.environ) == before;"
        "assert not {'torch', 'hydra', 'pandas'} & set(sys.modules); assert 'train' in dir(recsys);"
        "assert recsys.compose('seed=3').seed == 3; from recsys import *; assert train is recsys.train"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120, env={**os.environ})


APP = """
import hydra
from hydra.core.global_hydra import GlobalHydra
from omegaconf import OmegaConf
from recsys import compose

@hydra.main(version_base=None, config_path=None)
def app(cfg):
    running = GlobalHydra.instance().hydra
    assert compose("model=bias", "seed=3").seed == 3
    assert GlobalHydra.instance().hydra is running

app()
"""


@pytest.mark.slow
def test_compose_works_inside_a_hydra_app(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(APP)
    subprocess.run([sys.executable, "app.py", "hydra.run.dir=."], check=True, timeout=60)


def test_the_first_failure_is_kept(tmp_path: Path) -> None:
    write_failure(tmp_path, ValueError("the cause"), [])
    write_failure(tmp_path, RuntimeError("connection closed by peer"), [])
    assert read_json(tmp_path / "failed.json")["error"] == "ValueError: the cause"


def test_a_json_file_is_written_as_a_whole_or_not_at_all(tmp_path: Path) -> None:
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
    assert Path(__file__).name in content["traceback"]
    assert content["overrides"] == ["a=1"]


def test_the_resume_command_can_be_pasted_into_a_shell() -> None:
    assert resume_command(Path("/runs/a")) == "recsys-train run=/runs/a resume=true"
    assert resume_command(Path("/runs/a"), trust=True) == "recsys-train run=/runs/a resume=true trust=true"
    assert resume_command(Path("/my runs")) == """recsys-train 'run='"'"'/my runs'"'"'' resume=true"""


def test_the_latest_run_may_not_contain_a_pipe() -> None:
    Path("outputs/runs/a").mkdir(parents=True)
    write_json(Path("outputs/runs/a/result.json"), {})
    os.mkfifo("outputs/runs/a/events.out.tfevents.1")
    with pytest.raises(RunError, match="a pipe or a device"):
        find_run("latest")


def test_latest_is_the_newest_finished_run_under_outputs(tmp_path: Path) -> None:
    for folder in ("outputs/runs/b", "outputs/sweeps/s/3", "outputs/runs/a"):
        Path(folder).mkdir(parents=True)
        write_json(Path(folder, "result.json"), {})
    Path("outputs/runs/unfinished/.hydra").mkdir(parents=True)
    assert find_run("latest") == Path("outputs/runs/a")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda run: None, "no such folder"),
        (lambda run: run.mkdir(), "not a run folder"),
        (lambda run: (run / ".hydra").mkdir(parents=True), "has not finished"),
        (lambda run: (run.mkdir(), write_failure(run, ValueError("why"), [])), r"failed \(ValueError: why\)"),
    ],
)
def test_an_unfinished_run_is_not_found(make: Callable[[Path], Any], message: str, tmp_path: Path) -> None:
    make(tmp_path / "run")
    with pytest.raises(RunError, match=message):
        find_run(str(tmp_path / "run"))
