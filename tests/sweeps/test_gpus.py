"""Which GPUs a sweep uses, and how many jobs share one, with a fake torch and a fake nvidia-smi."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from recsys.errors import ConfigError
from recsys.sweeps.gpus import jobs_on_each_gpu
from recsys.sweeps.pool import slots_of_this_machine, visible_gpus
from recsys.sweeps.remote import gpus_of_job

ROWS = "0, GPU-aa11, 80000\n1, GPU-bb22, 40000\n2, GPU-cc33, [N/A]\n"


@pytest.fixture
def gpus(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Set how many GPUs torch finds."""

    def found(count: int) -> None:
        monkeypatch.setattr("torch.cuda.is_available", lambda: count > 0)
        monkeypatch.setattr("torch.cuda.device_count", lambda: count)

    return found


@pytest.fixture
def nvidia_smi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, int], None]:
    """Put a program nvidia-smi into PATH, with the given output and exit code."""

    def install(output: str, code: int = 0) -> None:
        program = tmp_path / "bin" / "nvidia-smi"
        program.parent.mkdir(exist_ok=True)
        program.write_text(f"#!/bin/sh\nprintf '{output}'\nexit {code}\n")
        program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")

    return install


@pytest.mark.parametrize(
    ("variable", "count", "expected"),
    [
        (None, 3, ["0", "1", "2"]),
        (None, 0, []),
        ("-1", 0, []),
        ("", 0, []),
        ("NoDevFiles", 0, []),
        ("0", 0, []),  # a machine without a GPU
        ("0,7", 1, ["0"]),  # and no GPU 7
        ("2,-1,3", 1, ["2"]),
        ("GPU-ab, 1", 2, ["GPU-ab", "1"]),
        ("MIG-a,MIG-b", 1, ["MIG-a", "MIG-b"]),
        ("MIG-a,MIG-b", 0, []),
    ],
)
def test_only_usable_gpus_are_used(
    variable: str | None, count: int, expected: list[str], gpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    gpus(count)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if variable is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", variable)
    assert visible_gpus() == expected


@pytest.mark.parametrize(
    ("names", "cores", "gb_per_job", "jobs"),
    [
        (["0"], 16, 2, 8),
        (["0", "1"], 8, 2, 4),  # a core for each job
        (["0"], 1, 2, 1),
        (["0"], 16, 20, 4),  # GPU 0 has 83.9 GB
        (["0", "1"], 16, 20, 2),  # GPU 1 has 41.9 GB
        (["GPU-bb"], 16, 20, 2),
        (["0"], 16, 100, 1),  # less than one fits: one is tried
        (["2"], 16, 20, 8),  # unknown memory
        (["MIG-a"], 16, 20, 8),
    ],
)
def test_jobs_share_a_gpu_as_cores_and_memory_allow(
    names: list[str], cores: int, gb_per_job: float, jobs: int, nvidia_smi
) -> None:
    nvidia_smi(ROWS)
    assert jobs_on_each_gpu(None, gb_per_job, names, cores) == jobs


def test_more_jobs_than_memory_are_an_error_that_says_how_many_fit(nvidia_smi) -> None:
    nvidia_smi(ROWS)
    assert jobs_on_each_gpu(20, 2, ["1"], 16) == 20
    with pytest.raises(
        ConfigError, match=r"hydra.launcher.jobs_per_gpu=21: at most 20; the GPU with .* 41.9 GB, .* 2 GB"
    ):
        jobs_on_each_gpu(21, 2, ["1"], 16)


def test_a_machine_without_nvidia_smi_has_no_limit_of_memory(nvidia_smi, monkeypatch) -> None:
    nvidia_smi("NVIDIA-SMI has failed", 9)
    assert jobs_on_each_gpu(100, 2, ["0"], 16) == 100
    monkeypatch.setenv("PATH", "/nowhere")
    assert jobs_on_each_gpu(100, 2, ["0"], 16) == 100


def test_slots_are_gpus_only_if_the_jobs_use_them(gpus, nvidia_smi, monkeypatch: pytest.MonkeyPatch) -> None:
    gpus(2)
    nvidia_smi(ROWS)
    monkeypatch.setattr("recsys.sweeps.pool.count_cores", lambda: 6)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)

    def environments(accelerator: str) -> list[dict[str, str]]:
        hardware = SimpleNamespace(accelerator=accelerator, devices=1)
        return [slot.environment for slot in slots_of_this_machine(hardware, None, 2, None)]

    assert [own["CUDA_VISIBLE_DEVICES"] for own in environments("auto")] == ["0"] * 3 + ["1"] * 3
    assert {own["OMP_NUM_THREADS"] for own in environments("gpu")} == {"1"}
    assert all("CUDA_VISIBLE_DEVICES" not in own for own in environments("cpu"))
    assert len(environments("cpu")) == 6


@pytest.mark.parametrize(
    ("accelerator", "devices", "asked", "reserved"),
    [
        ("gpu", 1, None, 1),
        ("gpu", 2, None, 2),
        ("auto", 2, None, 0),
        ("cpu", 1, None, 0),
        ("gpu", 1, 0.25, 0.25),
        ("gpu", 2, 4, 4),
        ("auto", 1, 1, 1),
    ],
)
def test_a_remote_job_reserves_the_gpus_that_it_uses(
    accelerator: str, devices: int, asked: float | None, reserved: float
) -> None:
    hardware = SimpleNamespace(accelerator=accelerator, devices=devices)
    assert gpus_of_job("num_gpus", asked, hardware) == reserved


@pytest.mark.parametrize(("devices", "asked"), [(1, 0), (2, 1), (2, 0.5)])
def test_too_few_reserved_gpus_are_an_error(devices: int, asked: float) -> None:
    hardware = SimpleNamespace(accelerator="gpu", devices=devices)
    with pytest.raises(
        ConfigError, match=f"hydra.launcher.gpus_per_node={asked:g}: .*gpus_per_node={devices}$"
    ):
        gpus_of_job("gpus_per_node", asked, hardware)
