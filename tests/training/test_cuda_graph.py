"""Training by captured steps equals training step by step; the graph itself needs a GPU."""

import logging
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from support.finished import LEARNED
from support.tiny import QUICK
from support.training import train_result
from support.weights import saved_weights

from recsys.data.batches import Batch, Batches
from recsys.training.cuda_graph import CapturedStep, obstacle

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
    monkeypatch.setattr("recsys.training.module.captured_step", lambda module: OnCPU(module, 90))
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


@pytest.mark.parametrize(
    ("options", "reason"),
    [([], "it needs a CUDA GPU, and the device is cpu")],
)
def test_without_a_graph_the_log_says_why(
    options: list[str], reason: str, compose, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "recsys"):
        result = train_result(compose(*RUN, *options, "hardware.cuda_graph=true"), tmp_path / "run")
    assert [record.message for record in caplog.records if "cuda_graph" in record.message] == [
        f"hardware.cuda_graph=true has no effect: {reason}"
    ]
    assert result["status"] == "completed"


def on_gpu(optimizer: type[torch.optim.Optimizer], trainer: dict[str, Any], **module: Any) -> Any:
    """Return what stands for a module that is trained on a GPU."""
    loader = Batches(Batch(*(torch.zeros(9) for _ in range(3))), 3)
    steps = optimizer([torch.nn.Parameter(torch.zeros(1))], lr=0.1)
    options = {
        "precision": "32-true",
        "gradient_clip_val": None,
        "accumulate_grad_batches": 1,
        "world_size": 1,
    }
    return SimpleNamespace(
        device=torch.device("cuda"),
        trainer=SimpleNamespace(**options | {"train_dataloader": loader, "optimizers": [steps]} | trainer),
        **{"has_sparse_gradients": False, "compiled": False, "network": SimpleNamespace(is_static=True)}
        | module,
    )


@pytest.mark.parametrize(
    ("optimizer", "trainer", "module", "reason"),
    [
        (torch.optim.AdamW, {}, {}, None),
        (torch.optim.SGD, {}, {}, "the optimizer reads its learning rate on the CPU"),
        (torch.optim.AdamW, {"precision": "16-mixed"}, {}, "with float16"),
        (torch.optim.AdamW, {"gradient_clip_val": 1.0}, {}, "gradient_clip"),
        (torch.optim.AdamW, {"world_size": 2}, {}, "it needs a single process"),
        (torch.optim.AdamW, {}, {"has_sparse_gradients": True}, "the sizes of sparse gradients vary"),
        (torch.optim.AdamW, {}, {"compiled": True}, "hardware.compile=true"),
        (torch.optim.AdamW, {}, {"network": SimpleNamespace(is_static=False)}, "the rating histories"),
    ],
)
def test_what_cannot_be_captured(
    optimizer: type[torch.optim.Optimizer], trainer: dict, module: dict, reason: str | None
) -> None:
    found = obstacle(on_gpu(optimizer, trainer, **module))
    assert found is None if reason is None else str(found).startswith(reason)


@pytest.mark.slow
def test_a_capture_that_fails_is_replaced_by_plain_steps(
    compose, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    class Uncapturable(OnCPU):
        def _capture(self) -> Callable[[], None]:
            raise RuntimeError("operation not permitted when stream is capturing\nmore")

    expected = train_result(compose(*RUN), tmp_path / "plain")
    monkeypatch.setattr("recsys.training.module.captured_step", lambda module: Uncapturable(module, 90))
    with caplog.at_level(logging.WARNING, "recsys"):
        result = train_result(compose(*RUN, "hardware.cuda_graph=true"), tmp_path / "run")
    assert [record.message for record in caplog.records if "cuda_graph" in record.message] == [
        "hardware.cuda_graph=true has no effect: capturing failed (operation not permitted when stream is capturing)"
    ]
    assert result["metrics"] == pytest.approx(expected["metrics"], rel=1e-6)


@pytest.mark.gpu
@NEEDS_GPU
@pytest.mark.parametrize("model", ["embedding-net", "history"])
def test_a_graph_on_a_gpu_learns_the_same(model: str, compose, tmp_path: Path) -> None:
    options = [*LEARNED, f"model={model}", "hardware=gpu", "max_epochs=6"]
    expected = train_result(compose(*options), tmp_path / "plain")
    result = train_result(compose(*options, "hardware.cuda_graph=true"), tmp_path / "graph")
    assert result["metrics"] == pytest.approx(expected["metrics"], rel=1e-3)
