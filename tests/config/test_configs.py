"""Every YAML under conf/ is composed and run."""

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

from recsys.config.validate import validate
from recsys.experiment.train import train
from recsys.paths import conf_dir
from recsys.sweeps.optuna import probes

CONF = Path(conf_dir())
FILES = sorted(path.relative_to(CONF) for path in CONF.rglob("*.yaml") if path.parent.name != "base")
OPTIONS = [(str(file.parent), file.stem) for file in FILES if file.parent != Path()]
HARDWARE_HERE = {"gpu", "gpu-bf16", "mps"}
WITH_A_FIGURE = [
    path.stem for path in sorted(CONF.glob("experiment/*.yaml")) if "This reaches" in path.read_text()
]
LAYERS = {"embedding_dim": 9, "hidden": [9], "dropouts": 0.9, "embedding_dropout": 0.9}
OTHER_CHOICES = {
    "model: history": "model: bias",
    "optimizer: adamw": "optimizer: sgd",
    "schedule: cosine-restarts": "schedule: constant",
}
OTHER_DEFAULTS = {
    "train.yaml": {"batch_size": 9, "patience": 9, "snapshots": 9, "l2": {"vectors": 9, "biases": 9}},
    "model/history.yaml": {**LAYERS, "head": "linear"},
    "model/embedding-net.yaml": LAYERS,
    "model/matrix-factorization.yaml": {"embedding_dim": 9},
    "optimizer/adam.yaml": {"lr": 9, "weight_decay": 9},
    "optimizer/adamw.yaml": {"lr": 9, "weight_decay": 9},
    "schedule/cosine-restarts.yaml": {"cycle_epochs": 9, "floor": 0.9},
}


def test_none_is_missed() -> None:
    groups = {
        "data",
        "split",
        "model",
        "loss",
        "optimizer",
        "schedule",
        "hardware",
        "averaging",
        "logger",
        "experiment",
        "sweep",
    }
    assert groups <= {group for group, _ in OPTIONS}
    assert len(FILES) >= 40


@pytest.mark.parametrize("file", FILES, ids=str)
def test_says_what_it_is_and_how_to_use_it(file: Path) -> None:
    lines = [line for line in (CONF / file).read_text().splitlines() if "@package" not in line]
    assert lines[0].startswith("# ")
    commands = [line for line in lines[1:6] if line.startswith("#   recsys-")]
    assert commands, "the header holds a command that uses the file"
    if file.parent != Path() and file.parent.parts[0] != "hydra":
        assert any(file.stem in line for line in commands), "the command names the file"


@pytest.mark.parametrize(
    ("group", "option"), [o for o in OPTIONS if not o[0].startswith("hydra") and o[0] != "sweep"]
)
def test_every_option_is_valid(compose, group: str, option: str, monkeypatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 8)
    monkeypatch.setattr("torch.backends.mps.is_available", lambda: True)
    more = {
        ("data", "csv"): ["data.path=x.csv"],
        ("split", "official"): ["data=ml-100k"],
        ("averaging", "ema"): ["snapshots=1"],
        ("averaging", "swa"): ["snapshots=1"],
    }
    validate(compose(f"{group}={option}", *more.get((group, option), [])))


@pytest.mark.parametrize(
    ("group", "option"),
    [
        o
        for o in OPTIONS
        if o[0] in ("split", "model", "loss", "optimizer", "schedule", "averaging", "hardware", "logger")
    ],
)
def test_every_option_runs(compose, group: str, option: str, tmp_path: Path) -> None:
    if option in HARDWARE_HERE:
        pytest.skip(f"no such device here: hardware={option}")
    if option == "ddp":
        pytest.skip("run as processes of their own in test_commands.py")
    name = "ml-100k" if option == "official" else "synthetic"  # only some data sets have official folds
    result = train(compose(*QUICK, f"{group}={option}", f"data.name={name}", "data.step=1"), tmp_path)
    assert result["status"] == "completed"


@pytest.mark.parametrize("option", [option for group, option in OPTIONS if group == "experiment"])
def test_every_experiment_runs(compose, option: str, tmp_path: Path) -> None:
    """With its own choices, on synthetic ratings and for one epoch."""
    with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = hydra.compose("train", [f"experiment={option}", "logger=none", "max_epochs=1", "hardware=cpu"])
    tiny = compose(*SMALL)
    OmegaConf.set_struct(cfg, False)
    cfg.data = OmegaConf.to_container(tiny.data) | {"name": cfg.data.name, "step": 1}
    result = train(cfg, tmp_path)
    assert result["status"] == "completed"


@pytest.mark.parametrize("option", [option for group, option in OPTIONS if group == "sweep"])
def test_every_sweep_switches_multirun_on_over_values_that_work(compose, option: str) -> None:
    pytest.importorskip("optuna", reason="pip install optuna")
    with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = hydra.compose("train", [f"sweep={option}"], return_hydra_config=True)
    assert cfg.hydra.mode.name == "MULTIRUN"
    params = OmegaConf.to_container(cfg.hydra.sweeper.params)
    words = OverridesParser.create().parse_overrides([f"{key}={value}" for key, value in params.items()])
    for job in probes(words):
        validate(compose(f"sweep={option}", *job))
    swept = compose(f"sweep={option}")
    assert swept == compose(), (
        "all that a sweep chooses is in its jobs' overrides, so that one can be run alone"
    )


@pytest.mark.parametrize(
    ("group", "option"), [o for o in OPTIONS if o[0] in ("hydra/launcher", "hydra/sweeper")]
)
def test_every_launcher_and_sweeper_is_composed(group: str, option: str) -> None:
    with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = hydra.compose("train", [f"{group}={option}"], return_hydra_config=True)
    node = OmegaConf.select(cfg, group.replace("/", "."))
    assert issubclass(get_class(node._target_), Launcher | Sweeper)


@pytest.mark.parametrize("option", WITH_A_FIGURE)
def test_a_stated_figure_hangs_on_no_default(compose, option: str, tmp_path: Path) -> None:
    """Where other values are the defaults, the experiment is what it was when it was measured."""
    other = shutil.copytree(CONF, tmp_path / "conf")
    for name, values in OTHER_DEFAULTS.items():
        text = (other / name).read_text()
        for choice, instead in OTHER_CHOICES.items():
            text = text.replace(f"- {choice}\n", f"- {instead}\n")
        (other / name).write_text(yaml.safe_dump(yaml.safe_load(text) | values))
    with hydra.initialize_config_dir(str(other), version_base="1.3"):
        defaults, found = hydra.compose("train"), hydra.compose("train", [f"experiment={option}"])
    assert found == compose(f"experiment={option}")
    assert defaults != compose()


def test_zaitsev_2018_is_the_articles(compose) -> None:
    cfg = compose("experiment=zaitsev-2018")
    assert cfg.data.name == "ml-1m"
    assert (cfg.model.embedding_dim, list(cfg.model.hidden)) == (150, [500, 500, 500])
    assert (list(cfg.model.dropouts), cfg.model.embedding_dropout) == ([0.5, 0.5, 0.25], 0.05)
    assert (cfg.batch_size, cfg.optimizer.lr, cfg.schedule.cycle_epochs, cfg.patience) == (2000, 1e-3, 2, 10)
    assert cfg.split.test == 0.2
    assert cfg.split.val == pytest.approx(0.05 * (1 - cfg.split.test))


def test_only_train_and_average_make_a_folder(compose) -> None:
    for name in ("evaluate", "recommend", "explore", "prepare", "compare"):
        with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
            cfg = hydra.compose(name, return_hydra_config=True)
        assert cfg.hydra.output_subdir is None
        assert cfg.hydra.run.dir == "."
        assert "file" not in cfg.hydra.job_logging.handlers
