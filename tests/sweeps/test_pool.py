"""The pool, with real processes that end in all possible ways."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import torch
from support.script_jobs import FINISH, MODULE, Script, scripts, slots

from recsys.sweeps import forkserver
from recsys.sweeps.pool import make_slots, run_jobs, visible_gpus
from recsys.sweeps.slot import Slot

ON_LINUX = pytest.mark.skipif(not forkserver.AVAILABLE, reason="the fork server needs Linux")


@pytest.fixture(autouse=True)
def script_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the processes of jobs find the module `script`."""
    (tmp_path / "modules").mkdir()
    (tmp_path / "modules" / "script.py").write_text(MODULE)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "modules"), prepend=os.pathsep)


@pytest.fixture(params=[False, pytest.param(True, marks=ON_LINUX)], ids=["spawned", "forked"])
def forks(request: pytest.FixtureRequest) -> bool:
    return request.param


@pytest.mark.slow
def test_a_failed_job_does_not_affect_the_others(forks: bool, tmp_path: Path) -> None:
    jobs = scripts(
        tmp_path,
        FINISH,
        "raise ValueError('no')",
        "import os, signal; os.kill(os.getpid(), signal.SIGKILL)",
        "import time; time.sleep(60)",
        "import ctypes; ctypes.string_at(0)",
        FINISH,
    )
    with slots(3, forks) as three:
        outcomes = run_jobs(jobs, three, timeout=5)
    assert [outcome.value for outcome in outcomes] == [0.5, None, None, None, None, 0.5]
    assert [outcome.error for outcome in outcomes[1:5]] == [
        "ended with code 1 and without a result: ValueError: no",
        "killed by SIGKILL",
        "killed after 5 seconds (hydra.launcher.timeout)",
        "killed by SIGSEGV",
    ]
    for outcome in outcomes[1:5]:
        assert json.loads((outcome.job.folder / "failed.json").read_text())["error"] == outcome.error
    assert "ValueError: no" in (tmp_path / "1" / "output.log").read_text()


def test_the_failed_json_of_a_job_is_kept(tmp_path: Path) -> None:
    content = {"error": "E: why", "status": "failed"}
    code = (
        f"import pathlib; pathlib.Path('FOLDER', 'failed.json').write_text({json.dumps(content)!r}); exit(1)"
    )
    (outcome,) = run_jobs(scripts(tmp_path, code), [Slot()])
    assert outcome.error == "E: why"


def test_a_finished_job_is_not_run_again(tmp_path: Path) -> None:
    run_jobs(scripts(tmp_path, FINISH), [Slot()])
    fails = "raise SystemExit(1)"
    (outcome,) = run_jobs(scripts(tmp_path, fails), [Slot()])
    assert outcome.value == 0.5
    changed = Script(0, ("a=2",), tmp_path / "0", code=fails)
    (outcome,) = run_jobs([changed], [Slot()])
    assert outcome.value is None, "a job with other overrides is another job"


@pytest.mark.slow
def test_fail_fast_stops_the_other_jobs(tmp_path: Path) -> None:
    jobs = scripts(tmp_path, "raise SystemExit(1)", "import time; time.sleep(60)", FINISH)
    start = time.monotonic()
    outcomes = run_jobs(jobs, [Slot(), Slot()], fail_fast=True)
    assert time.monotonic() - start < 40
    assert [outcome.job.number for outcome in outcomes] == [0]
    assert not (tmp_path / "2" / "result.json").exists()


@pytest.mark.slow
def test_one_job_runs_per_slot(tmp_path: Path) -> None:
    code = f"import time, pathlib; p = pathlib.Path({str(tmp_path)!r}); n = len(list(p.glob('*.on')));" + (
        "f = p / 'FOLDER.on'; f = p / (pathlib.Path('FOLDER').name + '.on'); f.touch(); time.sleep(0.5);"
        "pathlib.Path('FOLDER', 'seen').write_text(str(n)); f.unlink()"
    )
    run_jobs(scripts(tmp_path, *[code] * 5), [Slot(), Slot()])
    seen = [int((tmp_path / str(number) / "seen").read_text()) for number in range(5)]
    assert max(seen) <= 1, "at most one other job was running"


def test_each_slot_has_a_gpu_and_a_share_of_the_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("recsys.sweeps.pool.count_cores", lambda: 12)
    made = [slot.environment for slot in make_slots(1, ["4", "5", "7"], jobs_per_gpu=2)]
    assert [environment["CUDA_VISIBLE_DEVICES"] for environment in made] == ["4", "4", "5", "5", "7", "7"]
    assert {environment["OMP_NUM_THREADS"] for environment in made} == {"2"}
    pairs = make_slots(2, ["4", "5", "7"])
    assert [slot.environment["CUDA_VISIBLE_DEVICES"] for slot in pairs] == ["4,5"]
    assert len(make_slots(1)) == 12
    assert len(make_slots(4)) == 3
    assert len(make_slots(1, jobs=5)) == 5


@pytest.mark.slow
def test_jobs_get_the_environment_of_their_slot(forks: bool, tmp_path: Path) -> None:
    code = "import os, pathlib; pathlib.Path('FOLDER', 'gpu').write_text(os.environ['CUDA_VISIBLE_DEVICES'])"
    with slots(1, forks, CUDA_VISIBLE_DEVICES="0") as (a,), slots(1, forks, CUDA_VISIBLE_DEVICES="1") as (b,):
        run_jobs(scripts(tmp_path, code, code), [a, b])
    assert {(tmp_path / job / "gpu").read_text() for job in "01"} == {"0", "1"}


@ON_LINUX
@pytest.mark.slow
def test_a_fork_has_torch_imported_with_the_environment_of_the_slot(tmp_path: Path) -> None:
    code = (
        "import json, os, pathlib, sys; loaded = sorted({'torch', 'pytorch_lightning'} & set(sys.modules));"
        "import torch; pathlib.Path('FOLDER', 'seen').write_text(json.dumps([loaded, torch.get_num_threads(),"
        "os.getpid() == os.getpgrp(), sys.argv[0][-9:], torch.cuda.is_initialized()]))"
    )
    with slots(1, forks=True, OMP_NUM_THREADS="2") as one:
        run_jobs(scripts(tmp_path, code, code), one)
    for job in "01":
        seen = json.loads((tmp_path / job / "seen").read_text())
        assert seen == [["pytorch_lightning", "torch"], 2, True, "script.py", False]


@ON_LINUX
@pytest.mark.slow
def test_atexit_functions_of_a_fork_run_and_its_exit_code_is_returned(tmp_path: Path) -> None:
    """The fork server ends its forks without interpreter teardown, in the atexit function that runs last."""
    code = (
        "import atexit, pathlib, sys, tempfile; scratch = tempfile.TemporaryDirectory();"
        "pathlib.Path('FOLDER', 'scratch').write_text(scratch.name); atexit.register(print, 'at exit');"
        "sys.stdout.write('not flushed'); sys.exit(7)"
    )
    with slots(1, forks=True) as one:
        (outcome,) = run_jobs(scripts(tmp_path, code), one)
    assert outcome.error.startswith("ended with code 7 ")
    assert (tmp_path / "0" / "output.log").read_text() == "not flushedat exit\n"
    assert not Path((tmp_path / "0" / "scratch").read_text()).exists()


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_jobs_compute_on_the_gpu_of_their_slot(tmp_path: Path) -> None:
    code = "import torch, pathlib; where = torch.ones(2, device='cuda').sum().device;"
    code += "pathlib.Path('FOLDER', 'seen').write_text(f'{where} of {torch.cuda.device_count()}')"
    made = make_slots(1, visible_gpus(), jobs_per_gpu=2)
    run_jobs(scripts(tmp_path, *[code] * len(made)), made)
    for slot in made:
        slot.server.close()
    seen = {(tmp_path / str(job) / "seen").read_text() for job in range(len(made))}
    assert seen == {"cuda:0 of 1"}, "every job sees only its own GPU"


@ON_LINUX
@pytest.mark.slow
def test_a_killed_fork_server_is_replaced(tmp_path: Path) -> None:
    kill = "import os, signal, time; os.kill(os.getppid(), signal.SIGKILL); time.sleep(60)"
    with slots(1, forks=True) as one:
        first, second, third = run_jobs(scripts(tmp_path, kill, FINISH, FINISH), one)
    assert (first.error, second.value, third.value) == ("killed by SIGKILL", 0.5, 0.5)
    assert first.seconds < 60


@pytest.mark.slow
def test_jobs_end_when_the_sweep_is_killed(forks: bool, tmp_path: Path) -> None:
    """SIGKILL cannot be handled, so the jobs have to notice the end of the sweep themselves."""
    job = (
        "from recsys.sweeps.job import end_with_parent; import time, pathlib; end_with_parent();"
        "pathlib.Path('FOLDER', 'started').touch(); time.sleep(5); pathlib.Path('FOLDER', 'survived').touch()"
    )
    sweep = f"""
import pathlib, sys; sys.path.insert(0, {str(Path(__file__).parents[1])!r})
from support.script_jobs import scripts, slots
from recsys.sweeps.pool import run_jobs
with slots(1, {forks}) as one:
    run_jobs(scripts(pathlib.Path({str(tmp_path)!r}), {job!r}), one)
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


@pytest.mark.slow
def test_an_interrupt_ends_the_jobs_and_keeps_results(tmp_path: Path) -> None:
    jobs = scripts(tmp_path, FINISH, "import time; time.sleep(60)", FINISH)

    def interrupt() -> None:
        while not (tmp_path / "1" / "output.log").exists():
            time.sleep(0.05)
        time.sleep(0.5)
        os.kill(os.getpid(), signal.SIGINT)

    signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored in background processes of a shell
    threading.Thread(target=interrupt).start()
    with pytest.raises(KeyboardInterrupt):
        run_jobs(jobs, [Slot()])
    assert (tmp_path / "0" / "result.json").exists()
    assert not (tmp_path / "2" / "result.json").exists()
