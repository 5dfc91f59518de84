"""Training by captured steps equals training step by step; the graph itself needs a GPU."""

import logging
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.callbacks import DeviceStatsMonitor
from support.finished import LEARNED
from support.networks import OwnNetwork, all_pairs_data
from support.tiny import QUICK
from support.training import train_result
from support.weights import saved_weights

from recsys import train
from recsys.data.batches import Batch, Batches
from recsys.errors import Stopped
from recsys.models.base import RatingNetwork
from recsys.models.bias import Bias
from recsys.models.embedding_net import EmbeddingNet
from recsys.models.hybrid import HybridNet
from recsys.models.matrix_factorization import MatrixFactorization
from recsys.training.cuda_graph import CapturedStep, make_captured_step, obstacle
from recsys.training.losses import BPR, Joint, Loss, Pointwise, SampledSoftmax

NEEDS_GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
RUN = [
    *QUICK,
    "model=embedding-net",
    "model.hidden=[8]",
    "max_epochs=3",
    "batch_size=90",
]  # of 2,500 ratings


class OnCPU(CapturedStep):
    """Repeats a step on its inputs, as a graph does, and counts how often."""

    launches = 0

    def _warm_up(self) -> None:
        self._step(self._inputs)

    def _capture(self) -> Callable[[], None]:
        def launch() -> None:
            OnCPU.launches += 1
            self._step(self._inputs)

        return launch


class Frozen(OnCPU):
    """Repeats a step with the learning rate tensor and the settings of the optimizer at the time of the capture."""

    def _capture(self) -> Callable[[], None]:
        (group,) = self.optimizer.param_groups
        captured = {name: value for name, value in group.items() if name != "params"}

        def launch() -> None:
            current = {name: group[name] for name in captured}
            group.update(captured)
            self._step(self._inputs)
            group.update(current)

        return launch


@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [
        [],
        ["loss=softmax"],
        ["averaging=ema", "snapshots=1"],
        ["optimizer=adam", "schedule=one-cycle"],
    ],
    ids=["pointwise", "softmax", "ema", "one-cycle"],
)
def test_captured_steps_learn_the_same(
    options: list[str], compose, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Metrics, weights, the state of the optimizer and the learning rates are equal."""
    expected = train_result(compose(*RUN, *options), tmp_path / "plain")
    monkeypatch.setattr("recsys.training.module.make_captured_step", lambda module: OnCPU(module, 90))
    OnCPU.launches = 0
    cfg = compose(*RUN, *options, "hardware.cuda_graph=true")
    result = train_result(cfg, tmp_path / "graph")
    assert OnCPU.launches > 0, "and the last batch of an epoch, which is shorter, is not a launch"
    assert result["metrics"] == pytest.approx(expected["metrics"], rel=1e-6)
    assert result["time"]["epochs"] == expected["time"]["epochs"]
    for name in ("best", "last"):
        files = [tmp_path / run / "checkpoints" / f"{name}.ckpt" for run in ("plain", "graph")]
        torch.testing.assert_close(*map(saved_weights, files), rtol=1e-5, atol=1e-6)
        plain, graph = (torch.load(file, weights_only=True) for file in files)
        assert plain["global_step"] == graph["global_step"]
        groups = [content["optimizer_states"][0]["param_groups"][0] for content in (plain, graph)]
        assert groups[1]["lr"] == pytest.approx(groups[0]["lr"], rel=1e-6)
        assert {key: type(value) for key, value in groups[0].items()} == {
            key: type(value) for key, value in groups[1].items()
        }
        torch.testing.assert_close(graph["epoch_loss"], plain["epoch_loss"])
        assert [type(rate) for rate in graph["lr_schedulers"][0]["_last_lr"]] == [float]


@pytest.mark.slow
def test_a_run_of_make_captured_steps_is_resumed(
    compose, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class StopAfterEpoch(Callback):
        def on_train_epoch_start(self, trainer: Trainer, module: LightningModule) -> None:
            if trainer.current_epoch == 2:
                raise Stopped("stopped", 1)

    monkeypatch.setattr("recsys.training.module.make_captured_step", lambda module: OnCPU(module, 90))
    cfg = compose(*RUN)
    expected = train(cfg, tmp_path / "whole")
    with pytest.raises(Stopped):
        train(cfg, tmp_path / "cut", callbacks=[StopAfterEpoch()])
    found = train(cfg, tmp_path / "cut", resume=True)
    assert found.metrics == expected.metrics


class ChangesTheOptimizer(Callback):
    """In the second epoch, replaces the learning rate of each step, and a setting that a graph cannot read."""

    def __init__(self, **settings: float) -> None:
        self.settings = settings

    def on_train_batch_start(self, trainer: Trainer, module: LightningModule, *_: Any) -> None:
        if trainer.current_epoch:
            trainer.optimizers[0].param_groups[0].update(self.settings)


@pytest.mark.slow
@pytest.mark.parametrize("settings", [{"lr": 0.02}, {"weight_decay": 0.5}], ids=str)
def test_changes_of_the_optimizer_by_callbacks_take_effect(
    settings: dict[str, float],
    compose,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    change = ChangesTheOptimizer(**settings)
    expected = train(compose(*RUN), tmp_path / "plain", callbacks=[change])
    monkeypatch.setattr("recsys.training.module.make_captured_step", lambda module: Frozen(module, 90))
    with caplog.at_level(logging.WARNING, "recsys"):
        found = train(compose(*RUN), tmp_path / "graph", callbacks=[change])
    assert found.metrics == pytest.approx(expected.metrics, rel=1e-6)
    warnings = [text for text in caplog.messages if "a setting of the optimizer other than lr" in text]
    assert len(warnings) == ("lr" not in settings)
    assert found.metrics != pytest.approx(train(compose(*RUN), tmp_path / "no-change").metrics, rel=1e-3)


STATIC = {"network": SimpleNamespace(is_static=True), "loss": SimpleNamespace(is_static=True)}
NOT_STATIC = SimpleNamespace(is_static=False)


def on_gpu(optimizer: type[torch.optim.Optimizer], trainer: dict[str, Any], **module: Any) -> Any:
    """Return what stands for a module that is trained on a GPU."""
    loader = Batches(Batch(*(torch.zeros(9) for _ in range(3))), 3)
    steps = optimizer([torch.nn.Parameter(torch.zeros(1))], lr=0.1)
    options = {
        "precision": "32-true",
        "gradient_clip_val": None,
        "accumulate_grad_batches": 1,
        "world_size": 1,
        "callbacks": [Callback(), DeviceStatsMonitor()],
    }
    return SimpleNamespace(
        trainer=SimpleNamespace(**options | {"train_dataloader": loader, "optimizers": [steps]} | trainer),
        **{"device": torch.device("cuda"), "has_sparse_gradients": False} | STATIC | module,
    )


class ReadsGradients(Callback):
    def on_after_backward(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Read gradients."""


def test_anomaly_detection_is_not_captured() -> None:
    with torch.autograd.set_detect_anomaly(True):
        assert "detect_anomaly" in str(obstacle(on_gpu(torch.optim.AdamW, {})))


@pytest.mark.parametrize(
    ("optimizer", "trainer", "module", "reason"),
    [
        (torch.optim.AdamW, {}, {}, None),
        (torch.optim.SGD, {}, {}, "the optimizer reads its learning rate on the CPU"),
        (torch.optim.AdamW, {"precision": "16-mixed"}, {}, "with hardware.precision=16-mixed"),
        (torch.optim.AdamW, {"gradient_clip_val": 1.0}, {}, "gradient_clip"),
        (
            torch.optim.AdamW,
            {"callbacks": [Callback(), ReadsGradients()]},
            {},
            r"callbacks have hooks within a step (ReadsGradients)",
        ),
        (torch.optim.AdamW, {"world_size": 2}, {}, "training uses several processes"),
        (torch.optim.AdamW, {}, {"has_sparse_gradients": True}, "the sizes of sparse gradients vary"),
        (torch.optim.AdamW, {}, {"network": NOT_STATIC}, "the network's operations may differ"),
        (torch.optim.AdamW, {}, {"loss": NOT_STATIC}, "the loss's operations may differ"),
    ],
)
def test_what_cannot_be_captured(
    optimizer: type[torch.optim.Optimizer],
    trainer: dict,
    module: dict,
    reason: str | None,
    caplog: pytest.LogCaptureFixture,
) -> None:
    stand_in = on_gpu(optimizer, trainer, **module)
    if reason is None:
        assert obstacle(stand_in) is None
        return
    with caplog.at_level(logging.INFO, "recsys"):
        assert make_captured_step(stand_in) is None
    assert caplog.messages[0].startswith(f"hardware.cuda_graph has no effect: {reason}")


def test_on_a_cpu_nothing_is_captured_or_logged(caplog: pytest.LogCaptureFixture) -> None:
    module = on_gpu(torch.optim.AdamW, {}, device=torch.device("cpu"))
    with caplog.at_level(logging.INFO, "recsys"):
        assert make_captured_step(module) is None
    assert not caplog.records


@pytest.mark.parametrize("network_class", [Bias, MatrixFactorization, EmbeddingNet, HybridNet])
def test_the_networks_and_losses_of_recsys_are_static(network_class: type[RatingNetwork]) -> None:
    assert network_class.from_data(all_pairs_data()).is_static
    assert all(loss.is_static for loss in (Pointwise, Joint, BPR, SampledSoftmax))


def test_networks_and_losses_of_others_are_not_static_unless_they_say_so() -> None:
    """A graph repeats what was captured, so it would ignore values that Python changes later."""

    class OwnLoss(Loss):
        def __call__(self, network: RatingNetwork, batch: Batch, generator=None) -> torch.Tensor:
            return batch.ratings.mean()

    assert not OwnNetwork.from_data(all_pairs_data()).is_static
    assert not OwnLoss().is_static


@pytest.mark.slow
def test_a_capture_that_fails_is_replaced_by_plain_steps(
    compose, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    class Uncapturable(OnCPU):
        def _capture(self) -> Callable[[], None]:
            raise RuntimeError("not permitted when capturing\nmore")

    expected = train_result(compose(*RUN), tmp_path / "plain")
    monkeypatch.setattr("recsys.training.module.make_captured_step", lambda module: Uncapturable(module, 90))
    with caplog.at_level(logging.WARNING, "recsys"):
        result = train_result(compose(*RUN, "hardware.cuda_graph=true"), tmp_path / "run")
    assert [record.message for record in caplog.records if "cuda_graph" in record.message] == [
        "hardware.cuda_graph has no effect: a step cannot be captured (not permitted when capturing)"
    ]
    assert result["metrics"] == pytest.approx(expected["metrics"], rel=1e-6)


@pytest.mark.gpu
@NEEDS_GPU
@pytest.mark.parametrize("model", ["embedding-net", "history"])
@pytest.mark.filterwarnings("ignore")  # from inside the compiler
def test_a_graph_on_a_gpu_learns_the_same(
    model: str, compose, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "recsys")
    options = [*LEARNED, f"model={model}", "hardware=gpu", "max_epochs=6"]
    expected = train_result(compose(*options, "hardware.cuda_graph=false"), tmp_path / "plain")
    for compiled in ("false", "true"):
        cfg = compose(*options, f"hardware.compile={compiled}")
        result = train_result(cfg, tmp_path / f"graph-{compiled}")
        assert result["metrics"] == pytest.approx(expected["metrics"], rel=1e-3)
    assert "hardware.cuda_graph has no effect" not in caplog.text
