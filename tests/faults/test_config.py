"""Random overrides of any key: either a run, or an error message."""

import itertools
from pathlib import Path

import pytest
from hydra.errors import HydraException
from hypothesis import given, settings
from hypothesis import strategies as st
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from support.tiny import QUICK

from recsys.cli.app import check_choices
from recsys.cli.suggestions import keys_of
from recsys.config.validate import validate
from recsys.errors import UserError
from recsys.experiment.compose import compose
from recsys.experiment.train import train
from recsys.paths import conf_dir

GROUPS = {
    group: [file.stem for file in sorted(Path(conf_dir(), group).glob("*.yaml"))]
    for group in ("split", "model", "loss", "optimizer", "schedule", "averaging", "hardware", "logger")
}
ANYTHING = """0 -1 1 2 3 0.5 1.5 -0.1 1e-3 .nan nan inf -inf 1e400 true false null '' abc [] [1] [0] [4,-4]
[4,4] {} {a:1} '1' '0.1' [null] [[1]] auto gpu ddp u1 r1 ordinal sigmoid ${seed} ${nothing} ???"""
VALUES = ANYTHING.split()
# Keys that choose the folder, make the run long, or use the network.
EXCLUDED = ("output_dir", "run", "resume", "data", "sweep", "hydra", "max_epochs")


def composed(*overrides: str) -> DictConfig:
    return compose(*QUICK, "max_epochs=1", *overrides)


def keys_to_change(cfg: DictConfig) -> list[str]:
    keys = keys_of(OmegaConf.to_container(cfg, resolve=False))
    return [key for key in keys if key.split(".")[0] not in EXCLUDED]


@pytest.mark.slow
def test_any_override_is_a_run_or_an_error_message(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder, numbers = tmp_path_factory.mktemp("fuzz"), itertools.count()
    counts = {"runs": 0, "errors": 0}
    known = {
        choices: keys_to_change(composed(*choices))
        for choices in [(), *((f"{group}={name}",) for group, options in GROUPS.items() for name in options)]
        if "hardware=gpu" not in " ".join(choices)
    }

    @settings(max_examples=200)
    @given(st.data())
    def check(data: st.DataObject) -> None:
        choices = data.draw(st.sampled_from(sorted(known)))
        keys = data.draw(st.lists(st.sampled_from(known[choices]), min_size=1, max_size=2, unique=True))
        values = st.sampled_from(["1", "2", "3", "0.5", "0.1", "true"]) | st.sampled_from(VALUES)
        overrides = [*choices, *(f"{key}={data.draw(values)}" for key in keys)]
        try:
            check_choices(overrides)
            cfg = composed(*overrides)
            validate(cfg)
        except (UserError, HydraException, OmegaConfBaseException) as error:
            counts["errors"] += 1
            assert str(error).strip()
            return
        if cfg.hardware.strategy == "ddp" or cfg.hardware.compile:  # valid, but slow
            return
        try:
            train(cfg, folder / str(next(numbers)))
            counts["runs"] += 1
        except UserError as error:  # for example a loss that is not finite
            assert str(error).strip()

    check()
    assert min(counts.values()) > 10


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["batch_size=0"], r"batch_size=0: .*greater than 0"),
        (["hardware=gpu"], "hardware.accelerator=gpu: torch finds no GPU"),
        (["ranking.k=51"], "ranking.k=51: synthetic has 50 items"),
        (["ranking.k=1000000000000"], "ranking.k=1000000000000: synthetic has 50 items"),
        (["model.embedding_dim=1000000000"], "not enough memory with batch_size=500: .*model.embedding_dim"),
    ],
)
def test_impossible_combinations_are_refused_before_training(
    overrides: list[str], message: str, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=message):
        train(composed(*overrides), tmp_path / "run")
    assert not (tmp_path / "run" / "checkpoints").exists()


@pytest.mark.slow
def test_the_largest_numbers_train(tmp_path: Path) -> None:
    most = 2**31 - 1
    limits = [f"{key}={most}" for key in ("batch_size", "patience", "snapshots")]
    limits += ["schedule.cycle_epochs=1e300", f"seed={2**63 - 1}", f"split.seed={2**63 - 1}"]
    result = train(composed("model=bias", "l2.biases=1e-3", *limits), tmp_path / "run").result
    assert result["time"]["epochs"] == 1
