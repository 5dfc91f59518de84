"""Interrupted runs from someone else: resuming changes nothing outside of the run folder, and trusts no state."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from support.tiny import QUICK
from support.training import interrupted

from recsys.errors import RunError
from recsys.experiment.compose import compose
from recsys.experiment.train import train
from recsys.runs.record import recorded_config

RUN = [*QUICK, "model=embedding-net", "model.hidden=[4]", "max_epochs=3", "schedule.cycle_epochs=1"]


@pytest.fixture(scope="module")
def unfinished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that was interrupted in its third epoch, so that it has best weights."""
    folder = tmp_path_factory.mktemp("unfinished") / "run"
    interrupted(compose(*RUN), folder, step=12)
    return folder


@pytest.fixture
def run(unfinished: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(unfinished, tmp_path / "run"))


def change(run: Path, edit: Callable[[dict[str, Any]], object]) -> None:
    """Change last.ckpt."""
    path = run / "checkpoints" / "last.ckpt"
    content = torch.load(path, weights_only=True)
    edit(content)
    torch.save(content, path)


def resumed(run: Path) -> dict[str, Any]:
    return train(compose(*RUN), run, resume=True).result


@pytest.mark.slow
def test_a_run_that_was_copied_can_be_resumed(run: Path) -> None:
    """So the tests below would notice."""
    assert resumed(run)["status"] == "completed"


@pytest.mark.slow
@pytest.mark.parametrize("path", ["{folder}/victim", "local://{folder}/victim", "/none/../{folder}/victim"])
def test_paths_in_the_state_of_callbacks_are_not_used(path: str, run: Path, tmp_path: Path) -> None:
    """Lightning removes the file or folder that was the best checkpoint when a better epoch is saved."""
    victim, target = tmp_path / "victim", path.format(folder=tmp_path)
    victim.mkdir()
    (victim / "important.txt").touch()
    worst = torch.tensor(9.0)
    paths = dict.fromkeys(("best_model_path", "kth_best_model_path", "last_model_path"), target)

    def edit(content: dict[str, Any]) -> None:
        for key, state in content["callbacks"].items():
            if "Checkpoint" in key:
                state |= {**paths, "best_k_models": {target: worst}, "kth_value": worst, "dirpath": "/none"}
                state["best_model_score"] = worst

    change(run, edit)
    assert resumed(run)["status"] == "completed"
    assert (victim / "important.txt").is_file()


@pytest.mark.slow
def test_a_run_of_another_type_of_device_is_not_continued(run: Path) -> None:
    def edit(content: dict[str, Any]) -> None:
        state = torch.zeros(1, 16, dtype=torch.uint8)  # seed and offset of a generator of CUDA
        content.update(device="cuda", generators={"dropout": state, "negatives": state})

    change(run, edit)
    with pytest.raises(RunError, match="cannot continue on cpu: the run was trained on 'cuda', which draws"):
        resumed(run)


@pytest.mark.parametrize(
    "name", ["train.log", "checkpoints", "checkpoints/best.ckpt", "events.out.tfevents.1"]
)
@pytest.mark.parametrize("exists", [True, False], ids=["target", "no target"])
def test_nothing_is_written_through_a_link(name: str, exists: bool, run: Path, tmp_path: Path) -> None:
    """A log line can be a command for the shell whose start file it is appended to."""
    victim, path = tmp_path / "victim", run / name
    if path.is_dir():
        shutil.rmtree(path)
    path.unlink(missing_ok=True)
    if exists:
        victim.mkdir() if name == "checkpoints" else victim.write_text("mine")
    path.symlink_to(victim)
    with pytest.raises(RunError, match=rf"{path}: is a symbolic link, and resuming would write to {victim}"):
        resumed(run)
    assert victim.exists() == exists
    assert not victim.is_file() or victim.read_text() == "mine"
    assert not victim.is_dir() or not list(victim.iterdir())


@pytest.mark.parametrize("name", ["train.log", "checkpoints/last.ckpt", ".hydra/overrides.yaml"])
def test_resuming_does_not_wait_for_a_pipe(name: str, run: Path) -> None:
    (run / name).unlink()
    os.mkfifo(run / name)
    with pytest.raises(RunError, match="a pipe or a device"):
        resumed(run)


@pytest.mark.slow
def test_a_run_whose_last_checkpoint_is_missing_starts_again_with_a_warning(
    run: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (run / "checkpoints" / "last.ckpt").unlink()
    assert resumed(run)["status"] == "completed"
    assert "last.ckpt: no such file, so the run starts again from its beginning" in caplog.text


def short(content: dict[str, Any]) -> None:
    for state in content["optimizer_states"][0]["state"].values():
        state.update(exp_avg=torch.zeros(1), exp_avg_sq=torch.zeros(1))


def unstored(content: dict[str, Any]) -> None:
    for state in content["optimizer_states"][0]["state"].values():
        state["exp_avg"] = torch.zeros(1).expand(10**10)


def cut_generators(content: dict[str, Any]) -> None:
    content["generators"] = {name: states[:, :10] for name, states in content["generators"].items()}


@pytest.mark.slow
@pytest.mark.parametrize(
    "edit",
    [
        short,
        unstored,
        cut_generators,
        lambda content: content.update(optimizer_states=[]),
        lambda content: content["optimizer_states"][0]["param_groups"][0].update(lr="x"),
        lambda content: content["optimizer_states"][0]["param_groups"][0].update(lr=float("nan")),
        lambda content: content["optimizer_states"][0]["param_groups"][0].update(betas=[0.9]),
        lambda content: content["lr_schedulers"][0].update(step=5),
        lambda content: content.update(lr_schedulers=[]),
        lambda content: content.update(loops={"fit_loop": 3}),
        lambda content: content.update(callbacks=[]),
        lambda content: content.update(epoch_loss=5),
        lambda content: content["state_dict"].popitem(),
        lambda content: content["recsys"].update(config={}),
        lambda content: content["recsys"]["config"].update(batch_size=7),
    ],
)
def test_a_state_that_does_not_fit_is_refused(edit: Callable[[dict[str, Any]], object], run: Path) -> None:
    change(run, edit)
    with pytest.raises(RunError, match=r"last\.ckpt: (damaged|belongs to another configuration)"):
        resumed(run)


def test_a_configuration_with_a_huge_network_takes_no_memory(run: Path) -> None:
    file = run / ".hydra" / "config.yaml"
    config = yaml.safe_load(file.read_text("utf-8"))
    config["model"]["hidden"] = [200_000, 200_000]
    file.write_text(yaml.safe_dump(config), "utf-8")
    with pytest.raises(RunError, match="belongs to another configuration"):
        train(compose(*RUN, "model.hidden=[200000,200000]"), run, resume=True)


def test_yaml_that_unfolds_without_end_is_refused(run: Path) -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12)]
    (run / ".hydra" / "config.yaml").write_text("\n".join(lines), "utf-8")
    with pytest.raises(RunError, match=r"config\.yaml: cannot be read"):
        recorded_config(run)
