"""A long sweep in one process does not grow."""

import json
import subprocess
import sys

from support.tiny import PLAIN

JOBS = 200
SCRIPT = """
import json, os, sys
from pathlib import Path
from recsys.experiment.compose import compose
from recsys.experiment.train import train

def now():
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20, len(os.listdir("/proc/self/fd"))

found = []
for job in range(int(sys.argv[1])):
    logger = "csv" if job % 10 else "tensorboard"  # which draws, and takes four times as long
    train(compose(f"seed={job}", f"logger={logger}", *sys.argv[2:]), Path("jobs", str(job)))
    found.append(now())
print(json.dumps(found))
"""


def test_two_hundred_jobs_in_one_process_take_no_more_than_fifty() -> None:
    words = [
        *("data=synthetic", "data.ratings=1000", "data.users=40", "data.items=40", "batch_size=500"),
        *("max_epochs=1", "hardware=cpu", *PLAIN, "model.hidden=[16]"),
    ]
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(JOBS), *words], capture_output=True, text=True, check=True
    )
    found = json.loads(done.stdout.splitlines()[-1])
    (early, files), (late, files_late) = found[JOBS // 4], found[-1]
    print(f"{early:.0f} MB, {files} files after {JOBS // 4} jobs; {late:.0f} MB, {files_late} after {JOBS}")
    assert files_late <= files + 2
    assert late < early + 30
