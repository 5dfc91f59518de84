"""Overrides of any key by anything: a run, or lines that name a key."""

import itertools
from pathlib import Path

import hydra
import pytest
from hydra.errors import HydraException
from hypothesis import given, settings
from hypothesis import strategies as st
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from support.tiny import QUICK

from recsys.cli.app import _keys, check_choices, register_resolvers
from recsys.config.validate import validate
from recsys.errors import UserError
from recsys.experiment.train import train
from recsys.paths import conf_dir

GROUPS = {
    group: [file.stem for file in sorted(Path(conf_dir(), group).glob("*.yaml"))]
    for group in ("split", "model", "loss", "optimizer", "schedule", "averaging", "hardware", "logger")
}
ANYTHING = """0 -1 1 2 3 0.5 1.5 -0.1 1e-3 .nan .inf -.inf 1e400 true false null '' abc [] [1] [0] [4,-4]
[4,4] {} {a:1} '1' '0.1' [null] [[1]] auto gpu ddp u1 r1 ordinal sigmoid ${seed} ${nothing} ???"""
VALUES = ANYTHING.split()
# Where a run would go, and what would make it long or touch the network.
LEFT_ALONE = ("output_dir", "run", "resume", "data", "sweep", "hydra", "max_epochs")


def composed(*words: str) -> DictConfig:
    with hydra.initialize_config_dir(conf_dir(), version_base="1.3"):
        return hydra.compose("train", [*QUICK, "max_epochs=1", *words])


def keys_of(cfg: DictConfig) -> list[str]:
    keys = _keys(OmegaConf.to_container(cfg, resolve=False))
    return [key for key in keys if key.split(".")[0] not in LEFT_ALONE]


def test_any_override_is_a_run_or_a_line(tmp_path_factory: pytest.TempPathFactory) -> None:
    register_resolvers()
    folder, numbers = tmp_path_factory.mktemp("fuzz"), itertools.count()
    counts = {"runs": 0, "lines": 0}
    known = {
        choices: keys_of(composed(*choices))
        for choices in [(), *((f"{group}={one}",) for group, of in GROUPS.items() for one in of)]
        if "hardware=gpu" not in " ".join(choices)
    }

    @settings(max_examples=200)
    @given(st.data())
    def check(data: st.DataObject) -> None:
        choices = data.draw(st.sampled_from(sorted(known)))
        keys = data.draw(st.lists(st.sampled_from(known[choices]), min_size=1, max_size=2, unique=True))
        values = st.sampled_from(["1", "2", "3", "0.5", "0.1", "true"]) | st.sampled_from(VALUES)
        words = [*choices, *(f"{key}={data.draw(values)}" for key in keys)]
        try:
            check_choices(words)
            cfg = composed(*words)
            validate(cfg)
        except (UserError, HydraException, OmegaConfBaseException) as problem:
            counts["lines"] += 1
            assert str(problem).strip()
            return
        if cfg.hardware.strategy == "ddp" or cfg.hardware.compile:  # sound, and slow
            return
        try:
            train(cfg, folder / str(next(numbers)))
            counts["runs"] += 1
        except UserError as problem:  # such as a loss that is not finite: known only when it happens
            assert str(problem).strip()

    check()
    assert min(counts.values()) > 10


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["batch_size=0"], r"batch_size=0: .*greater than 0"),
        (["hardware=gpu"], "hardware.accelerator=gpu: torch sees no GPU here"),
        (["ranking.k=51"], "ranking.k=51: synthetic has 50 items"),
        (["model.embedding_dim=1000000000"], "smaller model.embedding_dim"),
    ],
)
def test_impossible_pairs_are_named_before_training(words: list[str], told: str, tmp_path: Path) -> None:
    (tmp_path / "mine.csv").write_text("user,item,rating\n" + "".join(f"{n},{n % 7},3\n" for n in range(50)))
    with pytest.raises(UserError, match=told):
        train(composed(*words), tmp_path / "run")
    assert not (tmp_path / "run" / "checkpoints").exists()
