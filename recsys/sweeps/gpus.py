"""The GPUs of this machine, and how many jobs share one of them."""

import csv
import os
import subprocess
from collections.abc import Sequence

from recsys.errors import ConfigError

MAX_JOBS_PER_GPU = 8  # the default limit: with more jobs, their kernels mostly wait for each other
QUERY = ("nvidia-smi", "--query-gpu=index,uuid,memory.free", "--format=csv,noheader,nounits")
MIB_IN_GB = 2**20 / 1e9


def visible_gpus() -> list[str]:
    """Return the usable GPUs in the format of CUDA_VISIBLE_DEVICES: indices, UUIDs or names of MIG instances.

    The list is empty if torch can use no GPU. As in CUDA, it ends before the first name that is unknown.
    """
    import torch

    if not torch.cuda.is_available():
        return []
    count = torch.cuda.device_count()  # respects CUDA_VISIBLE_DEVICES
    if (set_by_user := os.environ.get("CUDA_VISIBLE_DEVICES")) is None:
        return [str(number) for number in range(count)]
    names = [name.strip() for name in set_by_user.split(",") if name.strip()]
    if all(name.startswith("MIG-") for name in names):
        return names  # CUDA shows only the first of several MIG instances to one process
    return names[:count]


def jobs_on_each_gpu(requested: int | None, gb_per_job: float, gpus: Sequence[str], cores: int) -> int:
    """Return how many jobs share a GPU.

    Args:
        requested: number of jobs per GPU. None means the minimum of `MAX_JOBS_PER_GPU`, the number of cores per GPU,
            and the number of jobs that fit into GPU memory, but at least 1.
        gb_per_job: GPU memory of one job in GB (10^9 bytes).
        gpus: from `visible_gpus`.
        cores: number of cores for all jobs.

    Raises:
        ConfigError: the requested jobs do not fit into the memory of a GPU.
    """
    free = free_gb(gpus)
    fit = None if free is None else int(free / gb_per_job)
    if requested is None:
        return max(1, min(MAX_JOBS_PER_GPU, cores // len(gpus), MAX_JOBS_PER_GPU if fit is None else fit))
    if fit is not None and requested > max(1, fit):
        raise ConfigError(
            f"hydra.launcher.jobs_per_gpu={requested}: at most {max(1, fit)}; the GPU with the least free memory has "
            f"{free:.1f} GB, and a job needs {gb_per_job:g} GB; if a job needs less, lower hydra.launcher.gb_per_job"
        )
    return requested


def free_gb(gpus: Sequence[str]) -> float | None:
    """Return the free memory in GB of the GPU that has the least; None if nvidia-smi does not report it (MIG)."""
    try:
        done = subprocess.run(QUERY, capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    free = []
    for index, uuid, memory in csv.reader(done.stdout.splitlines(), skipinitialspace=True):
        if memory.isdecimal() and any(name == index or uuid.startswith(name) for name in gpus):
            free.append(int(memory) * MIB_IN_GB)
    return min(free) if len(free) >= len(gpus) else None
