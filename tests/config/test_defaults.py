"""A default value is the same in Python and in conf/, where users read it."""

import inspect
from pathlib import Path
from typing import Any

import pytest
import torch
from hydra.utils import get_object, instantiate
from omegaconf import DictConfig, OmegaConf

from recsys.data.datamodule import MovieLensDataModule
from recsys.inference.new_user import NewUser
from recsys.inference.recommender import Recommender
from recsys.models.bias import Bias
from recsys.paths import conf_dir
from recsys.training.build import build_loss
from recsys.training.module import RatingModule
from recsys.training.regularization import L2Penalty

CONF = Path(conf_dir())
GROUPS = ("model", "loss", "optimizer", "schedule", "split", "averaging")
OPTIONS = [
    (group, path.stem)
    for group in GROUPS
    for path in sorted(CONF.glob(f"{group}/*.yaml"))
    if "_target_: recsys." in path.read_text()
]
# model=history and model=neumf are two choices of one class; its defaults are those of neumf.
OPTIONS += [("model", "neumf")]
OPTIONS += [
    ("data", "table"),
    ("data", "synthetic"),
]  # the keys of an archive describe it, and are no defaults


def normalised(key: str, value: Any) -> Any:
    """Return a value in the form in which equal values are equal: hidden=64 means hidden=[64]."""
    if key == "l2":
        return L2Penalty(**(value or {}))
    if key == "hidden" and isinstance(value, int):
        return [value]
    return list(value) if isinstance(value, tuple) else value


def test_options_are_found() -> None:
    assert {group for group, _ in OPTIONS} == {*GROUPS, "data"}
    assert ("model", "neumf") in OPTIONS
    assert ("model", "history") not in OPTIONS


@pytest.mark.slow
@pytest.mark.parametrize(("group", "option"), OPTIONS)
def test_a_yaml_file_has_the_defaults_of_its_class(compose, group: str, option: str) -> None:
    node: dict[str, Any] = OmegaConf.to_container(compose("model=neumf", f"{group}={option}"), resolve=True)[
        group
    ]
    parameters = inspect.signature(get_object(node.pop("_target_"))).parameters
    in_class = {
        key: normalised(key, parameters[key].default)
        for key in node
        if parameters[key].default is not inspect.Parameter.empty
    }
    in_yaml = {key: normalised(key, node[key]) for key in in_class}
    assert in_yaml == in_class


def test_recommendations_have_the_defaults_of_the_command(compose) -> None:
    command = compose(name="recommend")
    for function in (Recommender.recommend, NewUser.recommend):
        parameters = inspect.signature(function).parameters
        for key in ("k", "filter_seen", "genres", "years", "min_ratings", "candidates"):
            if key not in parameters:  # one user needs no faster search for candidates
                continue
            assert parameters[key].default == command[key], key


@pytest.fixture
def cfg(compose) -> DictConfig:
    return compose()


def test_rating_module_has_the_defaults_of_train(compose) -> None:
    """With the loss that fits any network, as model=bias has it."""
    cfg = compose("model=bias")
    module = RatingModule(Bias(2, 2, [1, 5], 3.0))
    assert (module.lr, module.seed) == (cfg.optimizer.lr, cfg.seed)
    assert module.schedule == instantiate(cfg.schedule)
    loss = build_loss(cfg)
    assert type(module.loss) is type(loss)
    assert module.loss.l2 == loss.l2 == L2Penalty(**cfg.l2)
    parameters = [torch.nn.Parameter(torch.zeros(1))]
    optimizer = module.optimizer(parameters, lr=module.lr)
    expected = instantiate(cfg.optimizer, _partial_=True)(parameters)
    assert type(optimizer) is type(expected)
    assert optimizer.defaults == expected.defaults


def test_the_data_module_has_the_defaults_of_train(cfg: DictConfig) -> None:
    parameters = inspect.signature(MovieLensDataModule).parameters
    defaults = {name: parameter.default for name, parameter in parameters.items()}
    assert defaults["source"] == cfg.data.name
    assert defaults["batch_size"] == cfg.batch_size
    assert defaults["seed"] == cfg.seed
    assert defaults["ranking_k"] == cfg.ranking.k
    assert defaults["ranking_threshold"] == cfg.ranking.threshold
    assert MovieLensDataModule().split_method == instantiate(cfg.split)
