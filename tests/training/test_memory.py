import subprocess
import sys

import pytest

from recsys.errors import TrainingError
from recsys.training.memory import explain_out_of_memory

STEPS = """
import resource, sys
import torch
from recsys.models.embedding_net import EmbeddingNet
from recsys.training.memory import reuse_freed_memory
if sys.argv[1] == "reuse":
    reuse_freed_memory()
network = EmbeddingNet(600, 400, [1, 5], 3, embedding_dim=50, hidden=[100, 200, 300])
indices = torch.randint(400, (2000,))
def steps(n):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(n):
        network.zero_grad()
        network(indices, indices).square().mean().backward()
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
steps(10)
print(steps(20))
"""


def page_faults(allocator: str) -> int:
    """Return the page faults of 20 training steps in a new process."""
    process = subprocess.run(
        [sys.executable, "-c", STEPS, allocator], capture_output=True, text=True, check=True
    )
    return int(process.stdout)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="glibc only")
def test_training_steps_reuse_freed_memory() -> None:
    assert 5 * page_faults("reuse") < page_faults("default")


@pytest.mark.parametrize(
    "error", [MemoryError(), RuntimeError("CUDA out of memory. Tried to allocate 2 GiB")]
)
def test_out_of_memory_names_the_batch_size(error: Exception) -> None:
    with pytest.raises(TrainingError, match="batch_size=64"), explain_out_of_memory(64):
        raise error


def test_other_errors_pass_through() -> None:
    with pytest.raises(RuntimeError, match="shapes do not match"), explain_out_of_memory(64):
        raise RuntimeError("shapes do not match")
