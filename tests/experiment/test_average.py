"""The average of runs is a run."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from support.commands import result_in, run
from support.tiny import QUICK

from recsys.cli.explore import explore
from recsys.errors import ConfigError, RunError
from recsys.experiment.average import average, members_in
from recsys.experiment.evaluate import evaluate
from recsys.experiment.train import train
from recsys.inference.recommender import Recommender
from recsys.leaderboard.command import best_command
from recsys.leaderboard.ranking import rank
from recsys.leaderboard.runs import read_runs
from recsys.models.ensemble import EnsembleScorer
from recsys.runs.checkpoint import load_checkpoint

# A small learning rate, so that no run has converged; longer runs have more snapshots.
LEARNS = [*QUICK, "model=neumf", "model.user.history=true", "optimizer.lr=0.01", "schedule.cycle_epochs=1"]
LEARNS += ["max_epochs=6", "snapshots=3", "data.items=120"]


def best(folder: Path) -> Path:
    return folder / "checkpoints" / "best.ckpt"


def files_in(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def members(compose, tmp_path: Path) -> list[Path]:
    """Three seeds; the last run is too short to have three snapshots."""
    folders = []
    for seed in (1, 2, 3):
        folders.append(tmp_path / "sweep" / str(seed))
        options = [f"seed={seed}", *(["max_epochs=2"] if seed == 3 else [])]
        train(compose(*LEARNS, *options), folders[-1], [f"seed={seed}"])
    return folders


@pytest.mark.slow
def test_predicts_the_mean_of_its_members(members: list[Path], tmp_path: Path) -> None:
    before = files_in(tmp_path / "sweep")
    result = average(members, tmp_path / "average").result
    assert files_in(tmp_path / "sweep") == before
    networks = [load_checkpoint(best(member)).scorer for member in members]
    assert [len(network.members) for network in networks if isinstance(network, EnsembleScorer)] == [3, 3, 2]
    users, items = torch.arange(40), torch.arange(40)
    own = load_checkpoint(best(tmp_path / "average"))
    by_hand = torch.stack([network(users, items) for network in networks]).mean(0)
    assert torch.allclose(own.scorer(users, items), by_hand, atol=1e-6)
    results = [result_in(member) for member in members]
    for metric in ("val/rmse", "test/rmse"):
        assert result["metrics"][metric] < sum(member["metrics"][metric] for member in results) / 3
    assert result["members"] == [
        {"folder": str(member), "seed": seed} for seed, member in enumerate(members, 1)
    ]
    assert result["data"] == results[0]["data"]
    assert result["baselines"] == results[0]["baselines"]
    assert result["time"]["epochs"] == 6 + 6 + 2
    models = [member["model"] for member in results]
    assert result["model"]["parameters"] == models[0]["parameters"], "of one network"
    assert result["model"]["snapshots"] == sum(model["snapshots"] for model in models)
    assert result["objective"]["value"] == result["metrics"]["val/rmse"]
    assert result.keys() - {"members"} == results[0].keys()
    assert json.loads((tmp_path / "average" / "result.json").read_text()) == result


@pytest.mark.slow
def test_every_command_accepts_it(members: list[Path], tmp_path: Path) -> None:
    folder = tmp_path / "average"
    run = average(members, folder)
    for part in ("val", "test"):
        own = evaluate(str(folder), part)[-1]
        expected = {
            name: pytest.approx(value, rel=1e-9)
            for name, value in run.metrics.items()
            if name.startswith(part)
        }
        assert own == {"model": "history"} | expected
    model = Recommender.load(folder)
    liked = model.recommend(7, k=3)["item"]
    assert len(liked) == 3
    assert len(model.similar_items(liked[0], k=2, min_ratings=1)) == 2
    assert len(model.fold_in(dict.fromkeys(liked, 5.0)).recommend(k=4)) == 4
    assert model.export(tmp_path / "model.pt2").exists()  # checks what it has written
    _, page = explore(str(folder))
    assert page.is_relative_to(folder)


@pytest.mark.slow
def test_the_average_of_a_sweep_is_on_its_leaderboard(members: list[Path], tmp_path: Path) -> None:
    sweep = tmp_path / "sweep"
    (sweep / "4").mkdir()
    (sweep / "4" / "failed.json").write_text('{"status": "failed", "error": "x", "overrides": []}')
    assert members_in(sweep) == members
    average(members_in(sweep), sweep / "average", [f"dir={sweep}"])
    assert members_in(sweep) == members, "an average is not a member of another"
    lines = rank(read_runs(sweep))
    assert [len(line.runs) for line in lines] == [1, 3]
    assert best_command(lines) == f"recsys-average dir={sweep}"
    with pytest.raises(RunError, match=r"average.* an average of runs itself"):
        average([members[0], sweep / "average"])


def test_a_link_to_a_run_is_the_same_run(compose, tmp_path: Path) -> None:
    train(compose(*QUICK), tmp_path / "run")
    (tmp_path / "link").symlink_to(tmp_path / "run")
    with pytest.raises(RunError, match="at least two finished runs"):
        average([tmp_path / "run", tmp_path / "link"], tmp_path / "average")


@pytest.mark.slow
def test_runs_with_different_splits_or_networks_are_refused(compose, tmp_path: Path) -> None:
    kinds = {
        "a": [],
        "same": ["seed=2"],
        "split": ["split.seed=1"],
        "data": ["data.seed=1"],
        "class": ["model=matrix-factorization"],
        "width": ["model.embedding_dim=5"],
        "loss": ["loss=softmax"],
    }
    for name, options in kinds.items():
        train(compose(*QUICK, "model=embedding-net", *options), tmp_path / name)
    messages = {
        "split": r"a and .*split cannot be averaged: .* splits \(data .*random\(seed=0, .*random\(seed=1, ",
        "data": "a and .*data cannot be averaged",
        "class": "a/.* and .*class/.* differ in network .*EmbeddingNet.*MatrixFactorization",
        "width": r"width/.* differ in embedding_dim \(32.*5\)",
        "loss": r"have different objectives \(val/rmse and val/ndcg@10\)",
    }
    before = files_in(tmp_path)
    for name, message in messages.items():
        with pytest.raises(RunError, match=message):
            average([tmp_path / "a", tmp_path / name])
    for runs in ([], [tmp_path / "a"], [tmp_path / "a", tmp_path / "a"]):
        with pytest.raises(RunError, match="needs at least two finished runs; given: "):
            average(runs)
    with pytest.raises(ConfigError, match=r"output_dir=.*a/own: is inside .*a, which is averaged"):
        average([tmp_path / "a", tmp_path / "same"], tmp_path / "a" / "own")
    assert files_in(tmp_path) == before


@pytest.mark.slow
def test_edited_members_are_refused(compose, tmp_path: Path) -> None:
    def edit_results(edit: Callable[[dict], object], *names: str) -> None:
        for name in names:
            result = result_in(tmp_path / name)
            edit(result)
            (tmp_path / name / "result.json").write_text(json.dumps(result))

    def add_metric(result: dict) -> None:
        result["objective"]["name"] = "val/foo"
        result["metrics"] |= {"val/foo": 0.5, "test/foo": 0.5}

    folders = [tmp_path / "a", tmp_path / "b"]
    for seed, folder in enumerate(folders):
        train(compose(*QUICK, "model=bias", f"seed={seed}"), folder)
    saved = (
        shutil.copytree(tmp_path / "a", tmp_path / "saved"),
        shutil.copytree(tmp_path / "b", tmp_path / "saved-b"),
    )
    edits = {
        "different objectives": lambda: edit_results(add_metric, "b"),
        "the objective val/foo is not among the metrics": lambda: edit_results(add_metric, "a", "b"),
        "cannot be averaged: time.epochs is": lambda: edit_results(
            lambda result: result["time"].update(epochs=2**63 - 1), "a"
        ),
        "differ in data": lambda: change_checkpoint(best(tmp_path / "b")),
    }
    for message, edit in edits.items():
        edit()
        with pytest.raises(RunError, match=message):
            average(folders, tmp_path / "out")
        assert not (tmp_path / "out" / "result.json").exists()
        for folder, copy in zip(folders, saved, strict=True):
            shutil.rmtree(folder)
            shutil.copytree(copy, folder)
        shutil.rmtree(tmp_path / "out", ignore_errors=True)


def change_checkpoint(path: Path) -> None:
    """Claim that a run was trained on another split."""
    content = torch.load(path)
    content["recsys"]["data"] = ["0" * 64, "0" * 16]
    torch.save(content, path)


@pytest.mark.slow
def test_as_a_command(tmp_path: Path) -> None:
    options = ["model=bias", "logger=none", "hydra.launcher.jobs=1"]
    run("train", "-m", "seed=1,2", *QUICK, *options, f"output_dir={tmp_path / 'outputs' / 'sweeps' / 's'}")
    assert "average of 2 runs" in run("average", "output_dir=mine").stdout
    result = result_in(tmp_path / "mine")
    assert result["overrides"] == ["dir=outputs/sweeps/s"]
    (*_, own) = json.loads(run("evaluate", "run=mine", "format=json").stdout)
    assert own["test/rmse"] == pytest.approx(result["metrics"]["test/rmse"], rel=1e-9)
    run("average", "runs=[outputs/sweeps/s/0,outputs/sweeps/s/1]")
    (folder,) = (tmp_path / "outputs" / "runs").iterdir()
    assert result_in(folder)["metrics"] == result["metrics"]
    for arguments, message in [
        (["runs=[outputs/sweeps/s/0]"], "needs at least two finished runs"),
        (["runs=outputs/sweeps/s/0"], "must be a list of folders"),
        (["runs=[a,b]", "dir=c"], "dir=c and runs=['a', 'b']: give only one of them"),
        (["runs=[a,b]"], "run=a: no such folder"),
        (["output_dir=mine"], "mine: already holds a run"),
    ]:
        done = run("average", *arguments, code=1)
        assert message in done.stderr
        assert "Traceback" not in done.stderr
    assert list((tmp_path / "outputs" / "runs").iterdir()) == [folder], "a refusal leaves nothing behind"
