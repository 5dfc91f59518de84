from pathlib import Path
from typing import Any

import pytest
import yaml
from hydra.utils import get_object

from recsys.errors import RunError
from recsys.paths import conf_dir
from recsys.runs.trust import TRUSTED, check_trusted, names_other_code, targets

OTHER = {"_target_": "os.system", "command": "true"}


def test_every_class_in_conf_is_trusted() -> None:
    files = [file for file in Path(conf_dir()).glob("**/*.yaml") if "hydra" not in file.parts]
    used = set().union(*(targets(yaml.safe_load(file.read_text(encoding="utf-8"))) for file in files))
    assert len(used) > 20
    assert used - {"???"} <= TRUSTED  # model=custom names none


@pytest.mark.parametrize("name", sorted(TRUSTED))
def test_trusted_names_exist_and_are_no_detour_to_other_code(name: str) -> None:
    """For example recsys.atomic.os.system would name a function of another package."""
    pytest.importorskip(name.split(".")[0])
    assert get_object(name).__module__.split(".")[0] == name.split(".")[0]


@pytest.mark.parametrize(
    "config",
    [
        {"data": OTHER},
        {"data": {"_target_": "recsys.data.sources.table.Table", "name": OTHER}},
        {"data": {"path": [[{"x": OTHER}]]}},
        {"loss": {"_target_": ["recsys.training.losses.BPR"]}},
        {"loss": {"_target_": {"recsys.training.losses.BPR": 1}}},
        {"loss": {"_target_": "recsys.atomic.os.system"}},
        {"loss": {"_target_": "hydra.utils.get_method", "path": "os.system"}},
        {"loss": {"_target_": None}},
    ],
)
def test_other_code_is_refused_wherever_it_is_named(config: dict[str, Any]) -> None:
    with pytest.raises(RunError, match=r"^run/a: uses .*not part of recsys.*trust=true"):
        check_trusted(config, "run/a")
    check_trusted(config, "run/a", trust=True)


def test_names_can_be_trusted_one_by_one() -> None:
    check_trusted({"data": OTHER}, "run", {"os.system"})
    with pytest.raises(RunError, match=r"os\.system"):
        check_trusted({"data": OTHER}, "run", {"os.remove"})


def test_interpolations_are_refused() -> None:
    with pytest.raises(RunError, match=r"interpolation.*oc\.env"):
        check_trusted({"data": {"name": ["${oc.env:AWS_SECRET_ACCESS_KEY}"]}}, "run")


def test_a_configuration_that_grows_without_end_is_refused() -> None:
    bomb: list[Any] = [0] * 10
    for _ in range(30):
        bomb = [bomb] * 10
    with pytest.raises(RunError, match="more than 100,000 values"):
        check_trusted({"data": bomb}, "run")
    endless: dict[str, Any] = {}
    endless["again"] = endless
    with pytest.raises(RunError, match="more than 100,000 values"):
        check_trusted(endless, "run")


def test_own_code_needs_trust_later() -> None:
    assert names_other_code({"model": {"_target_": "mypkg.MyNet"}})
    assert not names_other_code({"model": {"_target_": "recsys.models.bias.Bias"}, "callbacks": {}})
