"""The device of the commands that do not train."""

import pytest
from omegaconf import OmegaConf

from recsys.config.hardware import device_for
from recsys.errors import ConfigError
from recsys.experiment.compose import compose


def devices(monkeypatch: pytest.MonkeyPatch, cuda: bool = False, mps: bool = False) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: cuda)
    monkeypatch.setattr("torch.cuda.current_device", lambda: 0)
    monkeypatch.setattr("torch.backends.mps.is_available", lambda: mps)


@pytest.mark.parametrize(
    ("accelerator", "cuda", "mps", "device"),
    [
        ("auto", True, False, "cuda:0"),
        ("auto", False, True, "mps"),
        ("auto", False, False, "cpu"),
        ("cpu", True, True, "cpu"),
        ("gpu", True, False, "cuda:0"),
        ("mps", False, True, "mps"),
    ],
)
def test_the_accelerator_is_a_device(
    accelerator: str, cuda: bool, mps: bool, device: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    devices(monkeypatch, cuda, mps)
    hardware = OmegaConf.create({"accelerator": accelerator, "devices": 1, "num_nodes": 1})
    assert str(device_for(hardware)) == device


@pytest.mark.slow
@pytest.mark.parametrize("name", ["evaluate", "recommend", "explore", "average"])
@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("hardware=gpu", "hardware.accelerator=gpu: torch finds no GPU; use hardware=auto"),
        ("hardware=mps", "hardware.accelerator=mps: torch finds no Apple GPU; use hardware=auto"),
        ("hardware=ddp", "hardware.devices=2: only training uses several devices; use hardware=auto"),
        ("hardware.num_nodes=2", "hardware.num_nodes=2: only training uses several devices"),
        ("hardware.accelerator=tpu", "hardware.accelerator=tpu: must be one of auto, cpu, gpu, mps"),
    ],
)
def test_every_command_refuses_hardware_that_it_cannot_use(
    name: str, override: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    devices(monkeypatch)
    with pytest.raises(ConfigError) as caught:
        device_for(compose(override, name=name).hardware)
    assert str(caught.value).startswith(message)
