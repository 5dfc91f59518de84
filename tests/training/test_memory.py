import subprocess
import sys

import pytest

STEPS = """
import resource, sys
import torch
from recsys.models.embedding_net import EmbeddingNet
from recsys.training.memory import reuse_freed_memory
if sys.argv[1] == "keep":
    reuse_freed_memory()
network = EmbeddingNet(600, 400, [1, 5], 3, embedding_dim=50, hidden=[100, 200, 300])
rows = torch.randint(400, (2000,))
def steps(n):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(n):
        network.zero_grad()
        network(rows, rows).square().mean().backward()
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
steps(10)
print(steps(20))
"""


def page_faults(allocator: str) -> int:
    done = subprocess.run(
        [sys.executable, "-c", STEPS, allocator], capture_output=True, text=True, check=True
    )
    return int(done.stdout)


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's allocator alone is told")
def test_steps_do_not_wait_for_pages_that_were_freed_before() -> None:
    assert page_faults("keep") < 1000  # the activations of 20 steps are 60,000 pages
    assert page_faults("by itself") > 5000
