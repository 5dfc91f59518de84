"""The commands as a user runs them: processes of their own, in any folder."""

import json
import re
import signal
import subprocess
import sys
import zipfile
from functools import partial
from pathlib import Path

import pytest
from support.commands import result_in, run
from support.datasets import write_own_ratings
from support.tiny import QUICK

ROOT = Path(__file__).resolve().parents[2]
COMMANDS = ("train", "evaluate", "recommend", "explore", "prepare", "compare", "average")


@pytest.mark.slow
def test_a_run_from_training_to_evaluation(tmp_path: Path) -> None:
    trained = run("train", *QUICK, "logger=tensorboard")
    (folder,) = (tmp_path / "outputs" / "runs").iterdir()
    names = {path.name for path in folder.iterdir()}
    assert {".hydra", "checkpoints", "train.log", "result.json"} <= names
    assert any(name.startswith("events.") for name in names)
    result = result_in(folder)
    assert result["overrides"] == [*QUICK, "logger=tensorboard"]
    for text in ("global-mean", "user-item-bias", "embedding-net", f"{result['metrics']['test/rmse']:.4f}"):
        assert text in trained.stdout
    assert "tensorboard --logdir" in trained.stdout
    assert "epoch 2: val/rmse" in trained.stderr

    before = set(tmp_path.rglob("*"))
    evaluated = json.loads(run("evaluate", "format=json").stdout)
    assert evaluated[-1] == {"model": "embedding-net"} | {
        name: pytest.approx(value, rel=1e-9)
        for name, value in result["metrics"].items()
        if name.startswith("test/")
    }
    assert evaluated[0]["test/rmse"] == result["baselines"]["global-mean"]["test/rmse"]
    validated = run("evaluate", f"run={folder}", "part=val", "format=csv").stdout.splitlines()
    assert validated[0].startswith("model,val/rmse,val/mae,val/ndcg@10,")
    assert float(validated[-1].split(",")[1]) == pytest.approx(result["objective"]["value"], rel=1e-9)
    assert "embedding-net" in run("evaluate", "checkpoint=last").stdout
    assert set(tmp_path.rglob("*")) == before, "a command that only reads writes nothing"


@pytest.mark.slow
def test_prepare_describes_a_data_set() -> None:
    (facts,) = json.loads(run("prepare", "data=synthetic", "data.ratings=3000", "format=json").stdout)
    assert (facts["ratings"], facts["users"], facts["items"]) == (3000, 300, 200)
    assert facts["density"] == pytest.approx(3000 / (300 * 200))
    assert sum(facts["histogram"].values()) == 3000
    table = run("prepare", "data=synthetic").stdout
    assert "The most rated items" in table
    assert "Synthetic Item" in table


@pytest.mark.slow
@pytest.mark.parametrize("optimizer", ["adam", "sparse-adam"])
def test_two_processes_train_and_test_on_every_rating_once(tmp_path: Path, optimizer: str) -> None:
    options = [
        f"optimizer={optimizer}",
        "hardware=ddp",
        "hardware.accelerator=cpu",
        "data.ratings=2999",
        f"output_dir={tmp_path / 'run'}",
    ]
    run(
        "train",
        *[option for option in QUICK if not option.startswith(("hardware", "data.ratings"))],
        *options,
    )
    result = result_in(tmp_path / "run")
    assert result["data"]["test"] == 300
    assert not (tmp_path / "run" / "failed.json").exists()
    (*_, own) = json.loads(run("evaluate", f"run={tmp_path / 'run'}", "format=json").stdout)
    assert own["test/rmse"] == pytest.approx(result["metrics"]["test/rmse"], rel=1e-9)
    validated = json.loads(run("evaluate", f"run={tmp_path / 'run'}", "part=val", "format=json").stdout)
    log = (tmp_path / "run" / "train.log").read_text()
    best = result["objective"]["epoch"] + 1
    assert f"epoch {best}: val/rmse {validated[-1]['val/rmse']:.4f}" in log, "both halves were pooled"
    assert not (tmp_path / "outputs").exists(), "the second process creates no folder"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("command", "arguments", "messages"),
    [
        ("train", ["model.embeding_dim=3"], ["model.embeding_dim", "Did you mean model.embedding_dim=3?"]),
        ("train", ["modle=bias"], ["modle", "Did you mean model=bias?"]),
        ("train", ["seed=${nope}"], ["Interpolation key 'nope' not found"]),
        ("train", ["split=0"], ["split=0: choose files, kfold, "]),
        ("train", ["split=[random,kfold]"], ["split=[random,kfold]: choose files, kfold, "]),
        ("train", ["logger=[csv,1]"], ["logger=[csv,1]: choose csv, mlflow, "]),
        ("train", ["logger=[csv,nope]"], ["logger=nope: choose csv, mlflow, "]),
        (
            "train",
            ["logger=csv", "+logger.x.y=1"],
            ["logger.x={'y': 1}: must have the form logger.<name>.<key>"],
        ),
        (
            "train",
            ["data=synthetic", "ranking.k=999", *QUICK[5:]],
            ["ranking.k=999: synthetic has 200 items"],
        ),
        (
            "train",
            ["model=matrix-factorisation"],
            ["matrix-factorisation", "Did you mean model=matrix-factorization?"],
        ),
        ("train", ["batch_size=0", "max_epochs=a"], ["batch_size=0: should be", "max_epochs=a: should be"]),
        ("train", ["data=table", "data.path=none.csv"], ["data.path=", "none.csv: No such file"]),
        (
            "train",
            ["-m", "hydra/launcher=basic", "hardware=ddp", *QUICK[:4], "hardware.accelerator=cpu"],
            ["hardware.strategy=ddp in a sweep"],
        ),
        ("compare", [], ["dir=latest: no sweep with results under ./outputs/sweeps"]),
        ("average", [], ["dir=latest: no sweep with results under ./outputs/sweeps"]),
        ("average", ["runs=[nowhere]"], ["run=nowhere: no such folder"]),
        ("average", ["-m"], ["recsys-average -m: only recsys-train has sweeps"]),
        ("evaluate", [], ["run=latest: no finished run under ./outputs"]),
        ("evaluate", ["run=nowhere"], ["run=nowhere: no such folder"]),
        ("recommend", [], ["give user=, users=, ratings= or item="]),
        ("recommend", ["user=1"], ["run=latest: no finished run under ./outputs"]),
        ("recommend", ["user=1", "run=nowhere"], ["run=nowhere: no such folder"]),
        ("evaluate", ["format=xml"], ["format=xml: choose table, json, csv"]),
        ("explore", [], ["run=latest: no finished run under ./outputs"]),
        ("explore", ["top=0"], ["top=0: should be a whole number above 0"]),
        ("explore", ["format=xml"], ["format=xml: choose table, json, csv"]),
        ("prepare", ["data=synthetic", "data.users=0"], ["data.users=0: should be greater than 0"]),
    ],
)
def test_mistakes_are_reported_without_a_traceback(
    command: str, arguments: list[str], messages: list[str], tmp_path: Path
) -> None:
    done = run(command, *arguments, code=1)
    for message in messages:
        assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    assert not list(tmp_path.glob("outputs/runs/*/result.json"))
    if "-m" not in arguments and "data=table" not in arguments:
        assert not list(tmp_path.glob("outputs/runs/*")), "a mistake in the configuration leaves no folder"


@pytest.mark.slow
def test_a_failed_run_records_the_error(tmp_path: Path) -> None:
    wild = ["model=matrix-factorization", "optimizer=sgd", "optimizer.lr=1e30", "schedule=constant"]
    run("train", *QUICK, *wild, f"output_dir={tmp_path / 'run'}", code=1)
    failed = json.loads((tmp_path / "run" / "failed.json").read_text())
    assert failed["status"] == "failed"
    assert failed["error"].startswith("TrainingError: ")
    assert "Traceback" in failed["traceback"]
    assert failed["overrides"][:1] == QUICK[:1]
    assert not (tmp_path / "run" / "result.json").exists()
    assert "failed (TrainingError" in run("evaluate", f"run={tmp_path / 'run'}", code=1).stderr
    assert "already holds a run" in run("train", *QUICK, f"output_dir={tmp_path / 'run'}", code=1).stderr


@pytest.mark.slow
@pytest.mark.parametrize("command", COMMANDS)
def test_help_has_a_description_and_examples(command: str) -> None:
    text = run(command, "--help").stdout
    assert text.startswith(f"recsys-{command}: ")
    assert "Examples" in text
    assert "Powered by Hydra" not in text


@pytest.mark.slow
def test_help_has_the_description_and_the_choices_of_hydras_own(tmp_path: Path) -> None:
    arguments = ["--help", "model=bias", "optimizer=sgd"]
    keys = "Keys (key=value)\n"
    hydras = run("train", *arguments, "--config-dir", str(tmp_path)).stdout  # a second option: Hydra prints
    ours = run("train", *arguments).stdout
    # Hydra also lists base files, which are no options, and neither launchers nor sweepers.
    expected = "".join(line for line in hydras.partition(keys)[0].splitlines(True) if "/base: " not in line)
    assert "hydra/launcher: basic, pool, ray, slurm\nhydra/sweeper: basic, optuna\n" in ours
    lines = ours.partition(keys)[0].splitlines(True)
    assert "".join(line for line in lines if not line.startswith("hydra/")) == expected
    assert ours.partition("The run folder")[2] == hydras.partition("The run folder")[2]


@pytest.mark.slow
def test_help_lists_only_the_choices_of_the_command() -> None:
    text = run("prepare", "--help").stdout
    assert "data: ml-100k, " in text
    assert "model: " not in text
    assert "hydra/launcher" not in text


@pytest.mark.slow
def test_help_names_the_options_for_a_wrong_one() -> None:
    assert "model=nope: choose bias, " in run("train", "--help", "model=nope", code=1).stderr


@pytest.mark.slow
def test_commands_do_not_import_torch_before_they_need_it() -> None:
    modules = ", ".join(f"recsys.cli.{command}" for command in COMMANDS)
    heavy = {"torch", "pandas", "matplotlib", "pytorch_lightning"}
    code = f"import sys, {modules}; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.slow
def test_completion_offers_options() -> None:
    line = "recsys-train model="
    variables = {"COMP_LINE": line, "COMP_POINT": str(len(line))}
    offered = run("train", "-sc", "query=bash", **variables).stdout.split()
    assert "model=embedding-net" in offered


@pytest.mark.slow
def test_works_from_a_wheel(tmp_path: Path) -> None:
    pytest.importorskip("hatchling", reason="hatchling builds the wheel")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path / "dist")]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = (tmp_path / "dist").iterdir()
    installed = tmp_path / "site"
    with zipfile.ZipFile(wheel) as file:
        file.extractall(installed)
    pages = [f"leaderboard/templates/leaderboard.{suffix}" for suffix in ("html", "js")]
    for file in ("conf/train.yaml", "analysis/templates/report.html", *pages):
        assert (installed / "recsys" / file).is_file()
    run("train", "-m", *QUICK, "seed=1,2", f"output_dir={tmp_path / 'sweep'}", PYTHONPATH=str(installed))
    assert (tmp_path / "sweep" / "1" / "result.json").is_file()
    assert (tmp_path / "sweep" / "leaderboard.html").is_file()


@pytest.mark.slow
def test_a_run_is_not_evaluated_on_changed_data(tmp_path: Path) -> None:
    file = tmp_path / "own.csv"
    write_own_ratings(file)
    own = ["data=table", f"data.path={file}", "max_epochs=1", "logger=none", f"output_dir={tmp_path / 'run'}"]
    run("train", *own)
    assert result_in(tmp_path / "run")["data"]["ratings"] == 600
    write_own_ratings(file, 599)
    errors = run("evaluate", f"run={tmp_path / 'run'}", code=1).stderr
    assert "599" in errors
    assert "600" in errors


@pytest.mark.slow
def test_the_keyboard_stops_a_run_that_can_be_resumed(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "recsys.cli.train", *QUICK, "schedule=constant"]
    command += ["max_epochs=100000", "patience=100000"]
    # Processes that a shell starts in the background ignore SIGINT, and so do their children.
    heed = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    with subprocess.Popen(
        [*command, "output_dir=run"], stderr=subprocess.PIPE, text=True, preexec_fn=heed
    ) as process:
        for line in process.stderr:
            if "epoch 2" in line:
                process.send_signal(signal.SIGINT)
                break
        errors = process.stderr.read()
    assert process.returncode == 130
    assert re.match(r"stopped by SIGINT after step \d+; .*: recsys-train run=", errors.splitlines()[-1])
    assert (tmp_path / "run" / "checkpoints" / "last.ckpt").is_file()
    assert not (tmp_path / "run" / "failed.json").exists()  # unfinished is not failed
    assert not (tmp_path / "run" / "result.json").exists()
