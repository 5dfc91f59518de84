"""Sweeps and runs whose processes are started by Ray, Slurm or torchrun."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from support.commands import result_in, run
from support.tiny import PLAIN, QUICK, SMALL

from recsys.config.validate import validate
from recsys.errors import ConfigError

pytestmark = pytest.mark.slow
TWO_NODES = ["hardware=ddp", "hardware.accelerator=cpu", "hardware.num_nodes=2", "hardware.devices=1"]
COMMON = [override for override in QUICK if not override.startswith("hardware")]


def test_jobs_of_slurm_equal_the_same_runs_alone(tmp_path: Path) -> None:
    pytest.importorskip("submitit", reason="pip install submitit")
    options = ["hydra/launcher=slurm", "hydra.launcher.cluster=local", "hydra.launcher.poll_seconds=0.5"]
    options += ["hydra.launcher.cpus_per_task=1"]
    diverging = [
        "model=matrix-factorization",
        "optimizer=sgd",
        "schedule=constant",
        "optimizer.lr=0.001,1e30",
    ]
    done = run("train", "-m", *QUICK, *options, *diverging, f"output_dir={tmp_path / 'sweep'}", code=1)
    assert "1 of 2 done, 0 running, 1 failed" in done.stderr
    assert "failed: job 1: TrainingError" in done.stdout
    run("train", *QUICK, *diverging[:-1], "optimizer.lr=0.001", f"output_dir={tmp_path / 'alone'}")
    assert result_in(tmp_path / "sweep" / "0")["metrics"] == result_in(tmp_path / "alone")["metrics"]
    assert (tmp_path / "sweep" / "leaderboard.html").exists()


def test_a_preempted_job_resumes(tmp_path: Path) -> None:
    """Send the signal of a preemption to the process of submitit that runs the job."""
    pytest.importorskip("submitit", reason="pip install submitit")
    options = ["hydra/launcher=slurm", "hydra.launcher.cluster=local", "hydra.launcher.poll_seconds=0.5"]
    options += ["hydra.launcher.cpus_per_task=1"]
    slow = [*SMALL, *PLAIN, "batch_size=40", "hardware=cpu", "logger=none", "max_epochs=60", "patience=60"]
    sweep = tmp_path / "sweep"
    command = [sys.executable, "-m", "recsys.cli.train", "-m", *slow, *options, f"output_dir={sweep}"]
    with subprocess.Popen([*command, "seed=1,2"], stderr=subprocess.PIPE, text=True) as process:
        while not (sweep / "0" / "checkpoints" / "last.ckpt").exists():
            assert process.poll() is None
            time.sleep(0.02)
        for file in Path("/proc").glob("[0-9]*/cmdline"):
            with contextlib.suppress(OSError):
                command_line = file.read_text()
                if "submitit.core._submit" in command_line and str(sweep) in command_line:
                    os.kill(int(file.parent.name), signal.SIGUSR2)
        assert process.wait(400) == 0, process.stderr.read()
    assert "resuming after step" in (sweep / "0" / "output.log").read_text()
    run("train", *slow, "seed=1", f"output_dir={tmp_path / 'alone'}")
    assert result_in(sweep / "0")["metrics"] == result_in(tmp_path / "alone")["metrics"]


def test_a_machine_without_slurm_is_reported(tmp_path: Path) -> None:
    pytest.importorskip("submitit", reason="pip install submitit")
    error = run("train", "-m", *QUICK, "seed=1,2", "hydra/launcher=slurm", code=1, PATH="/nowhere").stderr
    assert "hydra.launcher: " in error
    assert "srun" in error
    assert not (tmp_path / "outputs").exists()


def test_a_gpu_sweep_is_submitted_from_a_machine_without_a_gpu(tmp_path: Path) -> None:
    """The program sbatch of this test keeps the script that it should queue, and refuses it."""
    pytest.importorskip("submitit", reason="pip install submitit")
    (tmp_path / "bin").mkdir()
    for name, line in (
        ("srun", "exit 0"),
        ("sbatch", f'cp "$1" {tmp_path / "script"}; echo no GPUs left >&2; exit 1'),
    ):
        (tmp_path / "bin" / name).write_text(f"#!/bin/sh\n{line}\n")
        (tmp_path / "bin" / name).chmod(0o755)
    path = f"{tmp_path / 'bin'}:{os.environ['PATH']}"
    sweep = ["train", "-m", *COMMON, "seed=1,2", "hydra/launcher=slurm"]
    ddp = ["hardware=ddp", "hardware.accelerator=gpu", "hardware.devices=3"]
    error = run(*sweep, *ddp, code=1, PATH=path).stderr
    assert "hydra.launcher: sbatch refused the jobs (no GPUs left)" in error
    script = (tmp_path / "script").read_text()
    assert "#SBATCH --gpus-per-node=3\n" in script
    assert "#SBATCH --ntasks-per-node=3\n" in script
    assert not (tmp_path / "outputs").exists()
    error = run(*sweep, *ddp, "hydra.launcher.gpus_per_node=1", code=1, PATH=path).stderr
    assert "hydra.launcher.gpus_per_node=1: " in error


def test_ray_restarts_the_job_of_a_lost_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ray = pytest.importorskip("ray", reason="pip install ray")
    from ray.cluster_utils import Cluster

    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    monkeypatch.setenv("HOME", str(tmp_path))
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "num_gpus": 1})
    second = cluster.add_node(num_cpus=1, num_gpus=1)
    sweep = tmp_path / "sweep"
    slow = [*QUICK, "max_epochs=400", "patience=400"]
    command = [sys.executable, "-m", "recsys.cli.train", "-m", *slow, "seed=1,2,3", f"output_dir={sweep}"]
    command += ["hydra/launcher=ray", f"hydra.launcher.address={cluster.address}"]
    command += ["hydra.launcher.num_gpus=0.5"]  # there are none, but Ray counts those that it was given
    try:
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
            deadline = time.monotonic() + 240
            while len(list(sweep.glob("*/checkpoints/last.ckpt"))) < 2 and time.monotonic() < deadline:
                time.sleep(0.1)
            assert not list(sweep.glob("*/result.json"))
            cluster.remove_node(second, allow_graceful=False)
            log = process.communicate(timeout=400)[1]
        assert process.returncode == 0, log
        assert "3 of 3 done" in log
        assert [result_in(sweep / job)["seed"] for job in "012"] == [1, 2, 3]
        logs = [(sweep / job / "output.log").read_text() for job in "012"]
        run("train", *slow, "seed=3", f"output_dir={tmp_path / 'alone'}")
        assert result_in(sweep / "2")["metrics"] == result_in(tmp_path / "alone")["metrics"]
        assert sum("resuming after step" in log for log in logs) == 1, "the job of the lost machine resumed"
    finally:
        ray.shutdown()
        cluster.shutdown()


def test_a_job_of_ray_with_several_processes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("ray", reason="pip install ray")
    options = [
        "hydra/launcher=ray",
        "hydra.launcher.num_cpus=2",
        f"output_dir={tmp_path / 'sweep'}",
        "seed=3",
    ]
    ddp = ["hardware=ddp", "hardware.accelerator=cpu"]
    run("train", "-m", *COMMON, *ddp, *options, RAY_AUTH_MODE="disabled", HOME=str(tmp_path))
    assert result_in(tmp_path / "sweep" / "0")["seed"] == 3


def test_a_ray_cluster_that_does_not_respond_is_an_error(tmp_path: Path) -> None:
    pytest.importorskip("ray", reason="pip install ray")
    address = ["hydra/launcher=ray", "hydra.launcher.address=127.0.0.1:9"]
    error = run("train", "-m", *QUICK, "seed=1,2", *address, code=1, RAY_AUTH_MODE="disabled").stderr
    assert "hydra.launcher.address=127.0.0.1:9: no Ray cluster responds" in error


def run_together(commands: list[list[str]], variables: list[dict[str, str]]) -> list[str]:
    """Run commands at the same time, which must succeed, and return what they write to stderr."""
    processes = [
        subprocess.Popen(command, env={**os.environ, **own}, stderr=subprocess.PIPE, text=True)
        for command, own in zip(commands, variables, strict=True)
    ]
    errors = [process.communicate(timeout=120)[1] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], errors
    return errors


def check_two_nodes(tmp_path: Path) -> None:
    result = result_in(tmp_path / "run")
    assert result["data"]["test"] == 300
    (*_, own) = json.loads(run("evaluate", f"run={tmp_path / 'run'}", "format=json").stdout)
    assert own["test/rmse"] == pytest.approx(result["metrics"]["test/rmse"], rel=1e-9), (
        "every rating is counted once"
    )
    assert not (tmp_path / "outputs").exists(), "the process of the second node created no folder"
    log = (tmp_path / "run" / "train.log").read_text()
    validated = json.loads(run("evaluate", f"run={tmp_path / 'run'}", "part=val", "format=json").stdout)
    best = result["objective"]["epoch"] + 1
    assert f"epoch {best}: val/rmse {validated[-1]['val/rmse']:.4f}" in log, (
        "the ratings of both processes were pooled"
    )


def test_two_nodes_under_torchrun(tmp_path: Path, unused_port: int) -> None:
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--nnodes=2", "--nproc-per-node=1"]
    torchrun += ["--master-addr=127.0.0.1", f"--master-port={unused_port}"]
    overrides = [*COMMON, *TWO_NODES, f"output_dir={tmp_path / 'run'}"]
    commands = [[*torchrun, f"--node-rank={node}", "-m", "recsys.cli.train", *overrides] for node in (0, 1)]
    run_together(commands, [{}, {}])
    check_two_nodes(tmp_path)


def slurm_task(node: str, port: int) -> dict[str, str]:
    """Return the variables that srun sets for one of two tasks on two nodes, as far as Lightning reads them."""
    task = {"SLURM_NTASKS": "2", "SLURM_NNODES": "2", "SLURM_JOB_ID": "7", "SLURM_JOB_NAME": "recsys"}
    task |= {"SLURM_NTASKS_PER_NODE": "1", "SLURM_LOCALID": "0", "SLURM_PROCID": node, "SLURM_NODEID": node}
    return {**task, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}


def test_a_job_of_a_slurm_sweep_on_two_nodes(tmp_path: Path, unused_port: int) -> None:
    """Both tasks run the same function; only the first one writes into the folder of the job."""
    task = f"""
from pathlib import Path
from recsys.sweeps.remote import RemoteContext, run_job
from recsys.sweeps.job import Job
job = Job(0, {(*COMMON, *TWO_NODES)!r}, Path({str(tmp_path / "run")!r}))
print(run_job(job, RemoteContext.of_this_process({{}}, None)).value)
"""
    errors = run_together(
        [[sys.executable, "-c", task]] * 2, [slurm_task(node, unused_port) for node in "01"]
    )
    assert errors == ["", ""]
    check_two_nodes(tmp_path)


def test_two_nodes_under_slurm(tmp_path: Path, unused_port: int) -> None:
    command = [
        sys.executable,
        "-m",
        "recsys.cli.train",
        *COMMON,
        *TWO_NODES,
        f"output_dir={tmp_path / 'run'}",
    ]
    run_together([command] * 2, [slurm_task(node, unused_port) for node in "01"])
    check_two_nodes(tmp_path)


@pytest.mark.parametrize(
    ("overrides", "variables", "message"),
    [
        (["hardware.num_nodes=2"], {}, "hardware.num_nodes=2: several machines need hardware.strategy=ddp"),
        (TWO_NODES, {}, "nothing has started the processes on the other machines.*torchrun --nnodes=2"),
        (
            TWO_NODES,
            {"TORCHELASTIC_RUN_ID": "x", "WORLD_SIZE": "4"},
            r"hardware.num_nodes=2 and hardware.devices=1: torchrun started 4 process\(es\), 2 needed",
        ),
        ([], {"SLURM_PROCID": "0", "SLURM_NTASKS": "3"}, r"srun started 3 process\(es\), 1 needed"),
    ],
)
def test_a_wrong_number_of_processes_is_refused(
    overrides: list[str], variables: dict[str, str], message: str, compose, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError, match=message):
        validate(compose(*COMMON, *overrides))


def test_a_sweep_started_by_several_processes_is_refused(tmp_path: Path) -> None:
    variables = {"TORCHELASTIC_RUN_ID": "x", "WORLD_SIZE": "2", "RANK": "0"}
    error = run("train", "-m", *QUICK, "seed=1,2", code=1, **variables).stderr
    assert error.strip() == "a sweep was started 2 times by torchrun: start it once"
