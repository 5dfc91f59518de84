"""A signal at any moment ends a command with one line, and leaves no run behind that cannot be continued."""

import signal
import subprocess
import sys
import threading
from functools import partial
from pathlib import Path

import pytest
from pytorch_lightning.callbacks import Callback
from support.commands import modules_in, run
from support.tiny import QUICK

from recsys.cli.interrupts import Interrupts
from recsys.errors import ConfigError
from recsys.experiment.compose import compose
from recsys.experiment.train import train

# Processes that a shell starts in the background ignore SIGINT, and so do their children.
heed = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)


@pytest.mark.slow
@pytest.mark.parametrize(
    "module", ["recsys.cli", "omegaconf.errors", "hydra.main", "torch._C", "torch.nn", "pytorch_lightning"]
)
def test_ctrl_c_during_imports_is_one_line(module: str) -> None:
    command = [sys.executable, "-X", "importtime", "-m", "recsys.cli.train", *QUICK, "output_dir=run"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, preexec_fn=heed) as process:
        for line in process.stderr:
            if line.split("|")[-1].strip() == module:
                process.send_signal(signal.SIGINT)
                break
        others = [line for line in process.stderr if not line.startswith("import time:")]
    assert others == ["interrupted by Ctrl-C\n"]
    assert process.returncode == 130
    assert not Path("run").exists()


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
@pytest.mark.parametrize(
    ("module", "multirun"),
    [("recsys.cli.app", []), ("torch.nn", []), ("recsys.sweeps.compose", ["-m", "seed=1,2"])],
)
def test_a_scheduler_ends_a_command_that_has_not_begun_with_one_line(
    module: str, multirun: list[str], number: signal.Signals
) -> None:
    arguments = [*QUICK, *multirun, "output_dir=mine"]
    command = [sys.executable, "-X", "importtime", "-m", "recsys.cli.train", *arguments]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        for line in process.stderr:
            if line.split("|")[-1].strip() == module:
                process.send_signal(number)
                break
        others = [line for line in process.stderr if not line.startswith("import time:")]
    assert others == [f"stopped by {number.name}\n"]
    assert process.returncode == 128 + number
    run("train", *arguments)  # the folder can be used


@pytest.mark.slow
def test_ctrl_c_that_an_import_turns_into_another_error_stops_the_command(tmp_path: Path) -> None:
    (tmp_path / "interrupting.py").write_text(
        "import signal\n"
        "try:\n    signal.raise_signal(signal.SIGINT)\n"
        "except KeyboardInterrupt:\n    raise ImportError('multiarray failed to import') from None\n"
    )
    done = run("train", *QUICK, "data._target_=interrupting.Source", code=130, **modules_in(tmp_path))
    assert done.stderr == "interrupted by Ctrl-C\n"


def test_ctrl_c_where_python_drops_exceptions_is_not_lost() -> None:
    class Dying:
        def __del__(self) -> None:
            signal.raise_signal(signal.SIGINT)

    interrupts = Interrupts()

    def interrupted() -> None:
        with interrupts.handled():
            Dying()
            threading.Event().wait(30)

    # A shell starts commands in the background with SIGINT ignored.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            interrupted()
        assert interrupts.received
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, before)


class Press(Callback):
    """Presses Ctrl-C before the first step."""

    def on_fit_start(self, *_: object) -> None:
        signal.raise_signal(signal.SIGINT)


@pytest.mark.slow
@pytest.mark.parametrize("logger", ["tensorboard", "csv"])
def test_a_run_without_a_checkpoint_leaves_nothing_behind(logger: str, tmp_path: Path) -> None:
    cfg = compose(*QUICK, f"logger={logger}")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").touch()
    for folder in (tmp_path / "run", tmp_path / "mine"):
        with pytest.raises(KeyboardInterrupt):
            train(cfg, folder, callbacks=[Press()])
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler, "Ctrl-C works afterwards"
    assert not (tmp_path / "run").exists()
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["notes.txt"]


def test_a_folder_with_an_unfinished_run_is_refused_with_the_command_that_continues_it(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "run"
    (folder / ".hydra").mkdir(parents=True)
    (folder / ".hydra" / "config.yaml").write_text("seed: 1\n")
    with pytest.raises(
        ConfigError, match=rf"continue it with recsys-train run={folder} resume=true, or choose"
    ):
        train(compose(*QUICK), folder)
