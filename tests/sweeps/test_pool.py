"""The pool, with real processes that end in every way a process can."""

import json
import signal
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from recsys.sweeps.job import Job
from recsys.sweeps.pool import make_slots, run_jobs

FINISH = """
import json, os, pathlib
result = {"objective": {"value": float(os.environ.get("VALUE", 0.5))}, "overrides": ["a=1"]}
pathlib.Path("FOLDER", "result.json").write_text(json.dumps(result))
"""


@dataclass(frozen=True)
class Script(Job):
    """A job that runs a few lines of Python instead of a training."""

    code: str = ""

    @property
    def command(self) -> list[str]:
        return [sys.executable, "-c", self.code.replace("FOLDER", str(self.folder))]


def scripts(tmp_path: Path, *codes: str) -> list[Script]:
    return [Script(number, ("a=1",), tmp_path / str(number), code=code) for number, code in enumerate(codes)]


def test_one_that_fails_harms_no_other(tmp_path: Path) -> None:
    jobs = scripts(
        tmp_path,
        FINISH,
        "raise ValueError('no')",
        "import os, signal; os.kill(os.getpid(), signal.SIGKILL)",
        "import time; time.sleep(60)",
        "import ctypes; ctypes.string_at(0)",
        FINISH,
    )
    outcomes = run_jobs(jobs, make_slots(1, on_gpu=False, jobs=3), timeout=5)
    assert [outcome.value for outcome in outcomes] == [0.5, None, None, None, None, 0.5]
    assert [outcome.error for outcome in outcomes[1:5]] == [
        "ended with code 1 and without a result; see output.log",
        "killed by SIGKILL",
        "stopped after 5 seconds (hydra.launcher.timeout)",
        "killed by SIGSEGV",
    ]
    for outcome in outcomes[1:5]:
        assert json.loads((outcome.job.folder / "failed.json").read_text())["error"] == outcome.error
    assert "ValueError: no" in (tmp_path / "1" / "output.log").read_text()


def test_the_reason_that_a_job_gave_itself_is_kept(tmp_path: Path) -> None:
    code = (
        "import pathlib; pathlib.Path('FOLDER', 'failed.json').write_text('{\"error\": \"E: why\"}'); exit(1)"
    )
    (outcome,) = run_jobs(scripts(tmp_path, code), make_slots(1, on_gpu=False))
    assert outcome.error == "E: why"


def test_what_is_done_is_not_run_again(tmp_path: Path) -> None:
    run_jobs(scripts(tmp_path, FINISH), make_slots(1, on_gpu=False))
    fails = "raise SystemExit(1)"
    (outcome,) = run_jobs(scripts(tmp_path, fails), make_slots(1, on_gpu=False))
    assert outcome.value == 0.5
    changed = Script(0, ("a=2",), tmp_path / "0", code=fails)
    (outcome,) = run_jobs([changed], make_slots(1, on_gpu=False))
    assert outcome.value is None, "other overrides, another job"


def test_fail_fast_stops_the_rest(tmp_path: Path) -> None:
    jobs = scripts(tmp_path, "raise SystemExit(1)", "import time; time.sleep(60)", FINISH)
    start = time.monotonic()
    outcomes = run_jobs(jobs, make_slots(1, on_gpu=False, jobs=2), fail_fast=True)
    assert time.monotonic() - start < 40
    assert [outcome.job.number for outcome in outcomes] == [0]
    assert not (tmp_path / "2" / "result.json").exists()


def test_as_many_at_once_as_there_are_slots(tmp_path: Path) -> None:
    code = f"import time, pathlib; p = pathlib.Path({str(tmp_path)!r}); n = len(list(p.glob('*.on')));" + (
        "f = p / 'FOLDER.on'; f = p / (pathlib.Path('FOLDER').name + '.on'); f.touch(); time.sleep(0.5);"
        "pathlib.Path('FOLDER', 'seen').write_text(str(n)); f.unlink()"
    )
    run_jobs(scripts(tmp_path, *[code] * 5), make_slots(1, on_gpu=False, jobs=2))
    seen = [int((tmp_path / str(number) / "seen").read_text()) for number in range(5)]
    assert max(seen) <= 1, "at most one other was running"


def test_each_slot_has_its_gpu_and_its_share_of_the_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,5,7")
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(12)), raising=False)
    slots = make_slots(1, on_gpu=True, jobs_per_gpu=2)
    assert [slot["CUDA_VISIBLE_DEVICES"] for slot in slots] == ["4", "4", "5", "5", "7", "7"]
    assert {slot["OMP_NUM_THREADS"] for slot in slots} == {"2"}
    pairs = make_slots(2, on_gpu=True)
    assert [slot["CUDA_VISIBLE_DEVICES"] for slot in pairs] == ["4,5"]
    assert len(make_slots(1, on_gpu=False)) == 12
    assert len(make_slots(4, on_gpu=False)) == 3


def test_jobs_see_their_slot(tmp_path: Path) -> None:
    code = "import os, pathlib; pathlib.Path('FOLDER', 'gpu').write_text(os.environ['CUDA_VISIBLE_DEVICES'])"
    run_jobs(scripts(tmp_path, code, code), [{"CUDA_VISIBLE_DEVICES": "0"}, {"CUDA_VISIBLE_DEVICES": "1"}])
    assert {(tmp_path / job / "gpu").read_text() for job in "01"} == {"0", "1"}


def test_jobs_end_when_the_sweep_is_killed(tmp_path: Path) -> None:
    """SIGKILL leaves no time to stop anything: the jobs see for themselves that nobody is there any more."""
    import subprocess

    job = "from recsys.sweeps.job import end_with_parent; import time, pathlib; end_with_parent();"
    job += (
        "pathlib.Path('FOLDER', 'started').touch(); time.sleep(5); pathlib.Path('FOLDER', 'survived').touch()"
    )
    sweep = f"""
import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})
import pathlib, test_pool
from recsys.sweeps.pool import run_jobs
run_jobs(test_pool.scripts(pathlib.Path({str(tmp_path)!r}), {job!r}), [{{}}])
"""
    process = subprocess.Popen([sys.executable, "-c", sweep])
    deadline = time.monotonic() + 60
    while not (tmp_path / "0" / "started").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    time.sleep(7)
    assert (tmp_path / "0" / "started").exists()
    assert not (tmp_path / "0" / "survived").exists()


def test_an_interrupt_ends_the_jobs_and_keeps_what_is_done(tmp_path: Path) -> None:
    jobs = scripts(tmp_path, FINISH, "import time; time.sleep(60)", FINISH)

    def interrupt() -> None:
        while not (tmp_path / "1" / "output.log").exists():
            time.sleep(0.05)
        time.sleep(0.5)
        signal.raise_signal(signal.SIGINT)

    threading.Thread(target=interrupt).start()
    with pytest.raises(KeyboardInterrupt):
        run_jobs(jobs, make_slots(1, on_gpu=False, jobs=1))
    assert (tmp_path / "0" / "result.json").exists()
    assert not (tmp_path / "2" / "result.json").exists()
