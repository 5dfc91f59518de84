"""Interrupted runs from someone else: resuming changes nothing outside of the run folder, and trusts no state."""

import json
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf, open_dict
from support.commands import run as command
from support.nested import container_of, nodes
from support.tiny import QUICK
from support.training import interrupted

from recsys.errors import ConfigError, RunError, UserError
from recsys.experiment.compose import compose
from recsys.experiment.train import train
from recsys.runs.record import recorded_choices, recorded_config, recorded_overrides

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


@pytest.mark.slow
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


def test_a_file_with_two_names_is_not_written(run: Path, tmp_path: Path) -> None:
    """An archive can create hard links to files that exist."""
    (tmp_path / "victim").write_text("mine")
    (run / "train.log").unlink()
    (run / "train.log").hardlink_to(tmp_path / "victim")
    with pytest.raises(RunError, match=r"train\.log: has another name on this disk"):
        resumed(run)
    assert (tmp_path / "victim").read_text() == "mine"


DEEP = 3000
YAML = {
    "deep lists": "zz: " + "[" * DEEP + "]" * DEEP,
    "deep blocks": "zz:\n " + "- " * DEEP + "1",
    "many values": "zz: [" + "1," * 40_000 + "1]",
    "large": "zz: " + "1" * 400_000,
    "not a number": "zz: !!int foo",
    "not a time": "zz: !!timestamp foo",
    "endless number": "zz: 0x" + "f" * 100_000,
    "base 60": "zz: " + "59:" * 2000 + "59.5",
    "interpolations": "zz: '" + "${a:" * 2000 + "}" * 2000 + "'",
    "object": "zz: !!python/object/apply:os.mkdir [ran]",
}


@pytest.mark.slow
@pytest.mark.parametrize("content", YAML.values(), ids=YAML.keys())
@pytest.mark.parametrize("name", ["config.yaml", "overrides.yaml", "hydra.yaml"])
def test_hostile_yaml_is_not_read(name: str, content: str, run: Path) -> None:
    """The content of overrides.yaml and hydra.yaml is then unknown; a run without config.yaml is refused."""
    path = run / ".hydra" / name
    path.write_text(path.read_text() + ("" if name != "overrides.yaml" else "- a: 1\n  ") + content + "\n")
    begin = time.process_time()
    if name == "config.yaml":
        with pytest.raises(RunError, match="cannot be read"):
            recorded_config(run)
    elif name == "overrides.yaml":
        assert recorded_overrides(run) is None
    else:
        assert recorded_choices(run) == {}
    assert time.process_time() - begin < 10


@pytest.mark.parametrize("choices", ["5", "true", "abc", "[1]", "1e-300"])
def test_recorded_choices_are_a_mapping(choices: str, run: Path) -> None:
    (run / ".hydra" / "hydra.yaml").write_text(f"hydra: {{runtime: {{choices: {choices}}}}}\n")
    assert recorded_choices(run) == {}


@pytest.mark.parametrize("item", ["1", "{a: 1}", "!!binary aGVsbG8=", "null"])
def test_recorded_overrides_are_texts(item: str, run: Path) -> None:
    (run / ".hydra" / "overrides.yaml").write_text(f"- seed=1\n- {item}\n")
    assert recorded_overrides(run) is None


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("_partial_", True),
        ("filename_suffix", "/../../x"),
        ("filename_suffix", "a\0b"),
        ("filename_suffix", "é" * 51),
        ("_target_", "recsys.training.losses.BPR"),
    ],
)
def test_absurd_arguments_of_a_logger_are_one_line(key: str, value: object, tmp_path: Path) -> None:
    cfg = compose(*QUICK, "logger=tensorboard")
    with open_dict(cfg):
        cfg.logger.tensorboard[key] = value
    with pytest.raises(ConfigError, match=r"^logger"):
        train(cfg, tmp_path / "run")


@pytest.mark.parametrize("folder", ["../../victim", "/absolute"])
def test_a_logger_makes_nothing_outside_of_the_run_folder(folder: str, tmp_path: Path) -> None:
    folder = str(tmp_path / "victim") if folder == "/absolute" else folder
    cfg = compose(*QUICK, "logger=tensorboard", f"+logger.tensorboard.sub_dir={folder}")
    with pytest.raises(ConfigError, match="which is outside of the run folder"):
        train(cfg, tmp_path / "runs" / "run")
    assert not list(tmp_path.rglob("victim"))
    assert not list(tmp_path.rglob("events.*"))


@pytest.mark.slow
@pytest.mark.parametrize("logger", ["csv", "tensorboard"])
def test_the_keys_of_a_sweep_lead_to_no_other_folder(logger: str, tmp_path: Path) -> None:
    """In a sweep, the overrides of a job name the folder of its log, and names are cut after 120 characters."""
    victim, sweep = tmp_path / "victim", tmp_path / "sweep"
    victim.mkdir()
    for name in ("hparams.yaml", "metrics.csv"):
        (victim / name).write_text("mine")
    cfg = compose(*QUICK, f"logger={logger}")
    key = "a." + str(victim).rjust(120, "/")[-120:]
    (sweep / "0").mkdir(parents=True)
    (sweep / "sweep.json").write_text(json.dumps({"swept": [key], "pruner": None, "id": "0"}))
    result = train(cfg, sweep / "0", [f"{key}=1"])
    assert result.result["status"] == "completed"
    assert {path.name: path.read_text() for path in victim.iterdir()} == {
        "hparams.yaml": "mine",
        "metrics.csv": "mine",
    }


@pytest.mark.slow
@pytest.mark.parametrize("name", ["mlflow", "wandb"])
def test_a_run_does_not_send_data_to_a_place_that_it_names_itself(name: str, run: Path) -> None:
    path = run / ".hydra" / "config.yaml"
    keys = {
        "mlflow": ["logger.mlflow.tracking_uri=http://127.0.0.1:9"],
        "wandb": ["logger.wandb.offline=false"],
    }
    config = yaml.safe_load(path.read_text())
    other = OmegaConf.to_container(compose(*RUN, f"logger={name}", *keys[name]), resolve=True)
    path.write_text(yaml.safe_dump(config | {"logger": other["logger"]}))
    error = command("train", f"run={run}", "resume=true", code=1).stderr.splitlines()
    assert "its configuration sends data to another place (logger." in error[-1]
    assert len(error) == 1


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


def wrong_count(content: dict[str, Any]) -> None:
    content["callbacks"]["Throughput"]["ratings"] = (1, 2, 3)


def wrong_progress(content: dict[str, Any]) -> None:
    content["loops"]["fit_loop"]["epoch_progress"]["current"] = []


def wrong_batches(content: dict[str, Any]) -> None:
    content["loops"]["fit_loop"]["epoch_loop.batch_progress"]["total"]["started"] = "str"


def progress(content: dict[str, Any]) -> dict[str, Any]:
    return content["loops"]["fit_loop"]["epoch_progress"]["current"]


def steps(content: dict[str, Any]) -> dict[str, Any]:
    loop = content["loops"]["fit_loop"]["epoch_loop.automatic_optimization.optim_progress"]
    return loop["optimizer"]["step"]["total"]


def stepped(content: dict[str, Any]) -> dict[str, Any]:
    return content["loops"]["fit_loop"]["epoch_loop.state_dict"]


def group(content: dict[str, Any]) -> dict[str, Any]:
    return content["optimizer_states"][0]["param_groups"][0]


def number_for_a_tensor(content: dict[str, Any]) -> None:
    content["optimizer_states"][0]["state"][1]["exp_avg_sq"] = 10**9


def scalar(content: dict[str, Any]) -> None:
    for state in content["optimizer_states"][0]["state"].values():
        state.update(exp_avg=torch.tensor(5.0), exp_avg_sq=torch.tensor(5.0))


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
        wrong_count,
        wrong_progress,
        wrong_batches,
        number_for_a_tensor,
        scalar,
        unstored,
        cut_generators,
        lambda content: content.update(optimizer_states=[]),
        lambda content: group(content).update(lr="x"),
        lambda content: group(content).update(lr=float("nan")),
        lambda content: group(content).update(lr=2**70),
        lambda content: group(content).update(betas=[0.9]),
        lambda content: group(content).update(betas=(1.0, 1.0)),
        lambda content: group(content).update(params=[0] * len(group(content)["params"])),
        lambda content: group(content).update(differentiable=True),
        lambda content: progress(content).update(processed=4),
        lambda content: progress(content).update(processed=10**30),
        lambda content: progress(content).update(processed=-1),
        lambda content: steps(content).update(completed=16),
        lambda content: steps(content).update(completed=2**70),
        lambda content: stepped(content).update(_batches_that_stepped=2**70),
        lambda content: content["lr_schedulers"][0].update(T_i=0),
        lambda content: content["lr_schedulers"][0].update(T_0=4),
        lambda content: content["lr_schedulers"][0].update(last_epoch=16),
        lambda content: content["lr_schedulers"][0].update(base_lrs=[1e308]),
        lambda content: content["lr_schedulers"][0].update(step=5),
        lambda content: content.update(lr_schedulers=[]),
        lambda content: content.update(loops={"fit_loop": 3}),
        lambda content: content.update(callbacks=[]),
        lambda content: content.update(epoch_loss=5),
        lambda content: content.update(epoch_loss=(torch.zeros(()), 10**400)),
        lambda content: content["batches"].update(batches=-1e308),
        lambda content: content["batches"].update(batches=5),
        lambda content: content["loops"]["fit_loop"]["epoch_loop.batch_progress"]["total"].update(ready=16),
        lambda content: content.pop("epoch_loss"),
        lambda content: content["optimizer_states"][0]["state"][1].update(exp_avg=None),
        lambda content: content["optimizer_states"][0]["state"][1].pop("exp_avg"),
        lambda content: content["optimizer_states"][0].update(state={}),
        lambda content: content["optimizer_states"][0]["state"].update(
            {-1: content["optimizer_states"][0]["state"].pop(0)}
        ),
        lambda content: group(content).pop("weight_decay"),
        lambda content: group(content).pop("lr"),
        lambda content: content["lr_schedulers"][0].pop("T_cur"),
        lambda content: content.pop("generators"),
        lambda content: content["generators"].pop("negatives"),
        lambda content: content["generators"]["dropout"].zero_(),
        lambda content: content["generators"].update(dropout=content["generators"]["dropout"].repeat(2, 1)),
        lambda content: content.pop("device"),
        lambda content: content["callbacks"].pop(next(key for key in content["callbacks"] if "Early" in key)),
        lambda content: progress(content).update(started=None),
        lambda content: progress(content).update(completed=10**9),
        lambda content: content["state_dict"].popitem(),
        lambda content: next(iter(content["state_dict"].values())).fill_(float("nan")),
        lambda content: content.update(state_dict=[]),
        lambda content: content["recsys"].update(config={}),
        lambda content: content["recsys"]["config"].update(batch_size=7),
    ],
)
def test_a_state_that_does_not_fit_is_refused(edit: Callable[[dict[str, Any]], object], run: Path) -> None:
    change(run, edit)
    with pytest.raises(RunError, match=r"last\.ckpt: (damaged|refused|belongs to another configuration)"):
        resumed(run)


VALUES: list[Any] = [
    *(0, 1, -1, 2**40, 2**70, 10**400, 1e308, -1e308, float("nan"), "", "x" * 5000, None, True, [], {}),
    *(torch.zeros(3), torch.tensor(5.0), torch.tensor(float("nan")), torch.zeros((), dtype=torch.int64)),
]


@pytest.mark.slow
def test_any_change_of_the_state_is_refused_or_harmless(unfinished: Path, tmp_path: Path) -> None:
    original = torch.load(unfinished / "checkpoints" / "last.ckpt", weights_only=True)
    places = [
        place
        for place in nodes(original)
        if place == ("recsys",) or place[0] not in ("recsys", "hyper_parameters")
    ]
    counts = {"completed": 0, "refused": 0}

    @settings(max_examples=60)
    @given(st.sampled_from(places), st.sampled_from(VALUES))
    def check(place: tuple, value: Any) -> None:
        def edit(content: dict[str, Any]) -> None:
            container_of(content, place)[place[-1]] = value

        run = tmp_path / "run"
        shutil.rmtree(run, ignore_errors=True)
        shutil.copytree(unfinished, run)
        change(run, edit)
        try:
            result = resumed(run)
        except UserError:  # a traceback or a crash is none
            counts["refused"] += 1
        else:
            counts["completed"] += 1
            assert result["time"]["epochs"] <= 3

    check()
    assert min(counts.values()) > 0


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


AVERAGED = [*RUN, "averaging=ema", "snapshots=1"]


@pytest.fixture(scope="module")
def averaged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An interrupted run that averages weights."""
    folder = tmp_path_factory.mktemp("averaged") / "run"
    interrupted(compose(*AVERAGED), folder, step=12)
    return folder


def average(content: dict[str, Any]) -> dict[str, Any]:
    return next(state for name, state in content["callbacks"].items() if "Average" in name)


def halved(content: dict[str, Any]) -> None:
    name, tensor = next(iter(content["current_model_state"].items()))
    content["current_model_state"][name] = tensor.int()


@pytest.mark.slow
@pytest.mark.parametrize(
    "edit",
    [
        lambda content: content.pop("current_model_state"),
        lambda content: content["current_model_state"].popitem(),
        halved,
        lambda content: content.pop("averaging_state"),
        lambda content: content["averaging_state"].clear(),
        lambda content: average(content).update(latest_update_step=2**62),
        lambda content: average(content).clear(),
        lambda content: content["callbacks"].clear(),
    ],
)
def test_averaged_weights_that_do_not_fit_are_refused(
    edit: Callable[[dict[str, Any]], object], averaged: Path, tmp_path: Path
) -> None:
    run = Path(shutil.copytree(averaged, tmp_path / "run"))
    change(run, edit)
    with pytest.raises(RunError, match=r"last.ckpt: damaged, or not written by recsys"):
        train(compose(*AVERAGED), run, resume=True)


@pytest.mark.slow
def test_averaged_weights_are_resumed(averaged: Path, tmp_path: Path) -> None:
    """So the test above would notice."""
    run = Path(shutil.copytree(averaged, tmp_path / "run"))
    assert train(compose(*AVERAGED), run, resume=True).result["status"] == "completed"


def test_a_lock_that_is_a_link_is_named(run: Path) -> None:
    (run / ".running").unlink(missing_ok=True)
    (run / ".running").symlink_to(run / ".running")
    with pytest.raises(UserError, match=r"\.running"):
        resumed(run)
