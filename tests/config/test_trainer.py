"""The groups trainer and callbacks, and the keys metrics and objective: what is allowed, and what is refused."""

import inspect
import shlex
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
import torchmetrics
from omegaconf import OmegaConf

from recsys.config.trainer import OTHER_KEYS, Trainer
from recsys.config.validate import validate
from recsys.errors import ConfigError

MAPE = "+metrics.mape._target_=torchmetrics.MeanAbsolutePercentageError"
MAP = "+metrics.map._target_=torchmetrics.retrieval.RetrievalMAP"


class WithType(pl.Callback):
    """A callback with a typed argument."""

    def __init__(self, every: int) -> None:
        self.every = every


class Broken(pl.Callback):
    """A callback that refuses its argument."""

    def __init__(self) -> None:
        raise RuntimeError("no such device")


class Unsure(torchmetrics.MeanMetric):
    """A metric that does not say whether higher is better."""

    def update(self, preds: torch.Tensor, target: torch.Tensor) -> None:
        super().update(preds - target)


def error_of(cfg: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        validate(cfg)
    return str(caught.value)


def test_every_argument_of_the_trainer_has_one_key(compose) -> None:
    """conf/ has those that no other key sets; in an older Lightning, some of them are missing."""
    arguments = set(inspect.signature(pl.Trainer).parameters)
    listed = OmegaConf.to_container(compose().trainer)
    assert arguments == (set(listed) & arguments) | (set(OTHER_KEYS) & arguments)
    assert not set(listed) & set(OTHER_KEYS)
    assert set(listed) == set(Trainer.model_fields)
    assert all(listed[name] is None for name in set(listed) - arguments)


@pytest.mark.parametrize("name", OTHER_KEYS)
def test_arguments_that_another_key_sets_are_refused(compose, name: str) -> None:
    assert error_of(compose(f"+trainer.{name}=1")).startswith(f"trainer.{name}=1: ")


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["trainer.limit_train_batches=0"], "trainer.limit_train_batches=0: must be a whole number from 1"),
        (["trainer.limit_train_batches=1.5"], "trainer.limit_train_batches=1.5: must be a whole number"),
        (["trainer.overfit_batches=-1"], "trainer.overfit_batches=-1: must be a whole number from 1"),
        (["trainer.fast_dev_run=-2"], "trainer.fast_dev_run=-2: must be true, false or a number"),
        (["trainer.check_val_every_n_epoch=null"], "trainer.check_val_every_n_epoch=None: "),
        (["trainer.profiler=fast"], "trainer.profiler=fast: should be 'simple', 'advanced' or 'pytorch'"),
        (["trainer.deterministic=yes-please"], "trainer.deterministic=yes-please: should be"),
        (["+trainer.foo=1"], "trainer.foo=1: no such key; recsys-train --help lists all keys"),
        (["trainer.check_val_every_n_epoch=5", "max_epochs=8"], "after epoch 4, 8, ..., and none of these"),
        (["trainer.min_epochs=9", "max_epochs=8"], "trainer.min_epochs=9: must be at most max_epochs=8"),
        (["trainer.overfit_batches=2", "refit=true"], "trainer.overfit_batches=2: not possible with refit"),
        (
            ["+callbacks.x._target_=nowhere.Thing"],
            "callbacks.x._target_=nowhere.Thing: cannot be imported: there is no module",
        ),
        (["+callbacks.x.every=3"], "callbacks.x._target_: is missing"),
        (["+callbacks.x=3"], "callbacks.x=3: "),
        ([f"+callbacks.x._target_={__name__}.WithType"], "callbacks.x: WithType.__init__() missing 1"),
        (["+callbacks.x._target_=torch.nn.ReLU"], "callbacks.x: a ReLU is not a callback; use a subclass of"),
        ([f"+callbacks.x._target_={__name__}.Broken"], "callbacks.x: no such device"),
        ([MAPE, "loss=bpr"], "metrics.mape: the loss BPR does not predict ratings; use ~metrics.mape"),
        ([MAP, "ranking.k=0"], "metrics.map: ranking.k=0 measures no rankings; use ranking.k=10"),
        (
            [MAP, "+metrics.map.top_k=20"],
            "metrics.map: measures the top 20, and ranking.k=10; use ranking.k=20",
        ),
        (
            ["+metrics.x._target_=torchmetrics.KLDivergence"],
            "metrics.x: cannot compute one number from update",
        ),
        (["+metrics.x.top_k=3"], "metrics.x._target_: is missing"),
        ([f"+metrics.x._target_={__name__}.Unsure", "objective=val/x"], "add objective_mode=min or"),
        (
            ["objective=val/rmse", "loss=bpr"],
            "objective=val/rmse: is not computed; choose one of val/ndcg@10",
        ),
        (["objective=val/ndcg@10", "ranking.k=0"], "objective=val/ndcg@10: is not computed"),
        (["objective_mode=upwards"], "objective_mode=upwards: should be 'min' or 'max'"),
    ],
)
def test_what_is_refused(compose, overrides: list[str], message: str) -> None:
    error = error_of(compose("model=neumf", *overrides))
    assert message in error
    assert len(error.splitlines()) == 1


@pytest.mark.parametrize(("value", "message"), [("x", "every=x: "), ("2.5", "every=2.5: ")])
def test_arguments_of_a_callback_have_the_types_of_its_signature(compose, value: str, message: str) -> None:
    added = [f"+callbacks.x._target_={__name__}.WithType", f"+callbacks.x.every={value}"]
    assert error_of(compose(*added)).startswith(f"callbacks.x.{message}")
    assert "no argument 'often'" in error_of(compose(added[0], "+callbacks.x.often=1"))


def test_two_callbacks_with_one_state_are_refused(compose) -> None:
    timers = [f"+callbacks.{name}._target_=pytorch_lightning.callbacks.Timer" for name in ("a", "b")]
    assert error_of(compose(*timers)).startswith(
        "callbacks: Found more than one stateful callback of type `Timer`"
    )


def test_a_callback_that_monitors_the_validation_set_is_not_for_refit(compose) -> None:
    stop = ["+callbacks.stop={_target_:pytorch_lightning.callbacks.EarlyStopping,monitor:val/mae}"]
    validate(compose(*stop))
    assert error_of(compose(*stop, "refit=true")).startswith(
        "callbacks.stop: monitors val/mae, but the second"
    )


@pytest.mark.parametrize(
    "overrides",
    [
        ["trainer.limit_train_batches=3"],
        ["trainer.limit_train_batches=0.5", "trainer.val_check_interval=0.25"],
        ["trainer.check_val_every_n_epoch=2"],
        ["trainer=debug"],
        ["trainer=profile"],
        ["+callbacks.stats._target_=pytorch_lightning.callbacks.DeviceStatsMonitor"],
        [MAPE, MAP, "objective=val/map@10"],
        [MAPE, "ranking.k=0", "objective=val/mape"],
        [f"+metrics.x._target_={__name__}.Unsure", "objective=val/x", "objective_mode=min"],
        ["objective=val/ndcg@20"],
        # The example in OTHER_KEYS:
        [word for word in shlex.split(OTHER_KEYS["max_time"]) if "=" in word],
    ],
)
def test_what_is_allowed(compose, overrides: list[str]) -> None:
    validate(compose("model=neumf", *overrides))
