import subprocess
import sys

import pytest

STEPS = """
import resource, sys
import torch
from recsys.training.memory import keep_freed_memory
if sys.argv[1] == "keep":
    keep_freed_memory()
def step():
    layers = [torch.ones(1_000_000) for _ in range(10)]  # 40 MB, freed together: 10,000 pages
step()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20):
    step()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def page_faults(*arguments: str) -> int:
    done = subprocess.run(
        [sys.executable, "-c", STEPS, *arguments], capture_output=True, text=True, check=True
    )
    return int(done.stdout)


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's allocator alone is told")
def test_freed_blocks_are_used_again() -> None:
    assert page_faults("keep") < 200
    assert page_faults("by itself") > 2000
