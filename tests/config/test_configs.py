"""Every YAML file under conf/ is composed and validated, and most of them are run."""

import shutil
from pathlib import Path

import hydra
import pytest
import yaml
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.plugins.launcher import Launcher
from hydra.plugins.sweeper import Sweeper
from hydra.utils import get_class
from omegaconf import OmegaConf
from support.tiny import QUICK, SMALL
from support.training import train_result

from recsys.config.validate import validate
from recsys.paths import conf_dir
from recsys.sweeps.optuna import probes
from recsys.training.build import build_loss

CONF = Path(conf_dir())
FILES = sorted(path.relative_to(CONF) for path in CONF.rglob("*.yaml") if path.parent.name != "base")
OPTIONS = [(str(file.parent), file.stem) for file in FILES if file.parent != Path()]
GROUPS = {
    *("data", "split", "model", "loss", "optimizer", "schedule", "averaging"),
    *("hardware", "trainer", "callbacks", "logger", "experiment", "sweep"),
}
OTHER_DEVICES = {"gpu", "gpu-bf16", "mps"}
OPTIONAL = {"mlflow": "pip install mlflow-skinny sqlalchemy alembic", "wandb": "pip install wandb"}
WITH_RESULT = [path.stem for path in sorted(CONF.glob("experiment/*.yaml")) if "# Test " in path.read_text()]
# Other values of everything that an experiment could inherit from the defaults.
MLP = {"embedding_dim": 9, "hidden": [9], "dropouts": 0.9, "embedding_dropout": 0.9}
OTHER_CHOICES = {
    "model: history": "model: bias",
    "loss: joint": "loss: pointwise",
    "optimizer: adamw": "optimizer: sgd",
    "schedule: cosine-restarts": "schedule: constant",
}
OTHER_VALUES = {
    "train.yaml": {
        **{"batch_size": 9, "patience": 9, "snapshots": 9, "refit": True},
        "l2": {"vectors": 9, "biases": 9},
    },
    "model/history.yaml": {
        **MLP,
        **{"head": "linear", "init_std": 9},
        **{side: dict.fromkeys(("id", "history", "features"), False) for side in ("user", "item")},
    },
    "loss/joint.yaml": {"weight": 9, "negatives": 9},
    "model/embedding-net.yaml": MLP,
    "model/matrix-factorization.yaml": {"embedding_dim": 9},
    "optimizer/adam.yaml": {"lr": 9, "weight_decay": 9},
    "optimizer/adamw.yaml": {"lr": 9, "weight_decay": 9},
    "schedule/cosine-restarts.yaml": {"cycle_epochs": 9, "floor": 0.9},
}


def options_of(*groups: str) -> list[tuple[str, str]]:
    return [(group, option) for group, option in OPTIONS if group in groups]


def names_of(group: str) -> list[str]:
    return [option for _, option in options_of(group)]


def skip_if_missing(option: str) -> None:
    """Skip the test of an option whose package is not installed."""
    if option in OPTIONAL:
        pytest.importorskip(option, reason=OPTIONAL[option])


def test_no_group_is_missing() -> None:
    assert {group for group, _ in OPTIONS} >= GROUPS
    assert len(FILES) >= 40


@pytest.mark.parametrize("file", FILES, ids=str)
def test_the_header_describes_the_file_and_shows_a_command(file: Path) -> None:
    lines = [line for line in (CONF / file).read_text().splitlines() if "@package" not in line]
    assert lines[0].startswith("# ")
    commands = [line for line in lines[1:6] if line.startswith("#   recsys-")]
    assert commands, "no command that uses the file"
    if file.parent != Path() and file.parent.parts[0] != "hydra":
        assert any(file.stem in line for line in commands), "no command names the file"


@pytest.mark.slow
@pytest.mark.parametrize(("group", "option"), options_of(*GROUPS - {"sweep"}))
def test_every_option_is_valid(compose, group: str, option: str, monkeypatch: pytest.MonkeyPatch) -> None:
    skip_if_missing(option)
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 8)
    monkeypatch.setattr("torch.backends.mps.is_available", lambda: True)
    more = {
        ("data", "table"): [f"data.path={Path(__file__)}"],  # any file that exists
        ("split", "official"): ["data=ml-100k"],
        ("model", "custom"): ["model._target_=recsys.models.bias.Bias"],
        ("averaging", "ema"): ["snapshots=1"],
        ("averaging", "swa"): ["snapshots=1"],
    }
    validate(compose(f"{group}={option}", *more.get((group, option), [])))


@pytest.mark.parametrize("option", names_of("loss"))
def test_every_loss_obeys_the_keys_that_are_set_at_the_top_level(compose, option: str) -> None:
    changed = ["l2.vectors=0.25", "ranking.threshold=2"]
    loss = build_loss(compose(f"loss={option}", *changed))
    assert loss.l2.vectors == 0.25
    assert getattr(loss, "threshold", 2) == 2


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*``noload``.*")  # MLflow with the newest SQLAlchemy
@pytest.mark.parametrize(("group", "option"), options_of(*GROUPS - {"data", "experiment", "sweep"}))
def test_every_option_runs(compose, group: str, option: str, tmp_path: Path) -> None:
    if option in OTHER_DEVICES:
        pytest.skip(f"hardware={option} needs another device")
    if option == "files":
        pytest.skip("split=files needs several files; see test_file_split.py")
    if option == "ddp":
        pytest.skip("hardware=ddp starts further processes; see test_commands.py")
    if option == "debug":
        pytest.skip("trainer=debug writes no result; see test_trainer_options.py")
    skip_if_missing(option)
    name = "ml-100k" if option == "official" else "synthetic"  # only some data sets have official folds
    model = ["model=neumf"] if option == "joint" else []  # the network of QUICK does not learn choices
    target = ["model._target_=recsys.models.bias.Bias"] if option == "custom" else []
    cfg = compose(*QUICK, *model, f"{group}={option}", f"data.name={name}", "data.step=1", *target)
    assert train_result(cfg, tmp_path / "run")["status"] == "completed"


@pytest.mark.slow
@pytest.mark.parametrize("option", names_of("experiment"))
def test_every_experiment_runs(compose, option: str, tmp_path: Path) -> None:
    """With its own choices, on synthetic ratings and for one epoch."""
    cfg = compose(f"experiment={option}", "logger=none", "max_epochs=1", "hardware=cpu")
    OmegaConf.set_struct(cfg, False)
    cfg.data = OmegaConf.to_container(compose(*SMALL).data) | {"name": cfg.data.name, "step": 1}
    assert train_result(cfg, tmp_path / "run")["status"] == "completed"


@pytest.mark.slow
@pytest.mark.parametrize("option", names_of("sweep"))
def test_every_sweep_switches_multirun_on_with_valid_jobs(compose, option: str) -> None:
    pytest.importorskip("optuna", reason="pip install optuna")
    with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = hydra.compose("train", [f"sweep={option}"], return_hydra_config=True)
    assert cfg.hydra.mode.name == "MULTIRUN"
    params = OmegaConf.to_container(cfg.hydra.sweeper.params)
    overrides = OverridesParser.create().parse_overrides([f"{key}={value}" for key, value in params.items()])
    for job in probes(overrides):
        validate(compose(f"sweep={option}", *job))
    # The overrides of a job are all that the sweep chooses, so each job can be run alone.
    assert compose(f"sweep={option}") == compose()


@pytest.mark.parametrize(("group", "option"), options_of("hydra/launcher", "hydra/sweeper"))
def test_every_launcher_and_sweeper_is_composed(group: str, option: str) -> None:
    with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = hydra.compose("train", [f"{group}={option}"], return_hydra_config=True)
    node = OmegaConf.select(cfg, group.replace("/", "."))
    assert issubclass(get_class(node._target_), Launcher | Sweeper)


@pytest.mark.slow
@pytest.mark.parametrize("option", WITH_RESULT)
def test_an_experiment_with_a_published_result_does_not_depend_on_defaults(
    compose, option: str, tmp_path: Path
) -> None:
    """If the defaults change, the experiment stays what it was when it was measured."""
    changed = shutil.copytree(CONF, tmp_path / "conf")
    for name, values in OTHER_VALUES.items():
        text = (changed / name).read_text()
        for choice, other in OTHER_CHOICES.items():
            text = text.replace(f"- {choice}\n", f"- {other}\n")
        content, is_global = yaml.safe_load(text), text.startswith("# @package _global_")
        (content[name.split("/")[0]] if is_global else content).update(values)
        (changed / name).write_text("# @package _global_\n" * is_global + yaml.safe_dump(content))
    with hydra.initialize_config_dir(str(changed), version_base="1.3"):
        defaults, experiment = hydra.compose("train"), hydra.compose("train", [f"experiment={option}"])
    assert experiment == compose(f"experiment={option}")
    assert defaults != compose()


def test_experiments_with_a_published_result_are_found() -> None:
    assert len(WITH_RESULT) >= 8


def test_zaitsev_2018_has_the_values_of_the_article(compose) -> None:
    cfg = compose("experiment=zaitsev-2018")
    assert cfg.data.name == "ml-1m"
    assert (cfg.model.embedding_dim, list(cfg.model.hidden)) == (150, [500, 500, 500])
    assert (list(cfg.model.dropouts), cfg.model.embedding_dropout) == ([0.5, 0.5, 0.25], 0.05)
    assert (cfg.batch_size, cfg.optimizer.lr, cfg.schedule.cycle_epochs, cfg.patience) == (2000, 1e-3, 2, 10)
    assert cfg.split.test == 0.2
    assert cfg.split.val == pytest.approx(0.05 * (1 - cfg.split.test))


@pytest.mark.parametrize("name", [file.stem for file in FILES if file.parent == Path()])
def test_hydra_creates_no_folder_and_no_log_file(name: str) -> None:
    with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = hydra.compose(name, return_hydra_config=True)
    assert cfg.hydra.output_subdir is None
    assert cfg.hydra.run.dir == "."
    assert "file" not in cfg.hydra.job_logging.handlers
