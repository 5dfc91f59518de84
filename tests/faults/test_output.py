"""Standard output that is closed, full, without a reader or without Unicode; text that would control a terminal."""

import csv
import json
import shlex
from pathlib import Path

import pytest
from support.commands import modules_in, result_in, shell
from support.run_records import write_failed, write_run
from support.tiny import QUICK

from recsys.leaderboard.report import compare

pytestmark = pytest.mark.slow

TRAIN = f"recsys train {shlex.join(QUICK)} output_dir=run"
COMPARE = "recsys compare dir=runs"
ODD = "a[/b]k[red]ü\x1b[2J\x9b"


@pytest.fixture
def runs() -> None:
    """Two runs and a failed one whose settings and error have markup, Unicode and control characters."""
    write_run(Path("runs/0"), [f"model={ODD}"], 0.9)
    write_run(Path("runs/1"), ["model=b"], 0.8)
    write_failed(Path("runs/2"), f"RunError: {ODD}")


def assert_finished() -> None:
    assert result_in(Path("run"))["status"] == "completed"
    assert {".hydra", "checkpoints", "train.log"} <= {path.name for path in Path("run").iterdir()}


def test_a_finished_run_is_kept_if_its_summary_cannot_be_printed() -> None:
    done = shell(f"{TRAIN} > /dev/full")
    assert done.returncode == 1
    assert "standard output: cannot be written (No space left on device)" in done.stderr
    assert "Error executing job" not in done.stderr
    assert "Traceback" not in done.stderr
    assert_finished()


@pytest.mark.parametrize("redirection", [">&- 2>&-", "<&- >&- 2>&-", "2>&1 | true"])
def test_training_needs_no_output(redirection: str) -> None:
    done = shell(f"{TRAIN} {redirection}")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert_finished()


@pytest.mark.parametrize(
    "command",
    [
        COMPARE,
        f"{COMPARE} format=csv",
        f"{COMPARE} format=json",
        "recsys train --help",
        "recsys train --cfg job",
    ],
)
def test_a_reader_that_ends_early_is_not_an_error(command: str, runs: None) -> None:
    for reader in ("head -1", "true"):
        done = shell(f"{command} | {reader}")
        assert (done.returncode, done.stderr) == (0, "")


def test_a_command_without_output_works(runs: None) -> None:
    assert shell(f"{COMPARE} >&-").returncode == 0
    done = shell(f"{COMPARE} format=csv > /dev/full")
    assert done.returncode == 1
    assert done.stderr.startswith("standard output: cannot be written (No space left on device)")


@pytest.mark.parametrize(
    "environment",
    [{"PYTHONIOENCODING": "ascii"}, {"LC_ALL": "POSIX", "PYTHONUTF8": "0"}],
    ids=["ascii", "posix"],
)
def test_output_without_unicode(environment: dict[str, str], runs: None) -> None:
    done = shell(COMPARE, **environment)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.isascii()
    assert r"a[/b]k[red]\xfc\x1b[2J\x9b" in done.stdout
    assert len({len(line) for line in done.stdout.splitlines() if line[0] in "|+"}) == 1, "aligned columns"
    models = {ODD, "b"}
    assert {
        row["model"] for row in json.loads(shell(f"{COMPARE} format=json", **environment).stdout)
    } == models
    lines = shell(f"{COMPARE} format=csv", **environment).stdout.split("\n")
    assert {row["model"] for row in csv.DictReader(lines)} == models, "CSV is UTF-8"


@pytest.mark.parametrize("command", ["train", "prepare"])
def test_commands_on_a_machine_without_unicode(command: str) -> None:
    keys = QUICK if command == "train" else QUICK[:4]
    name = "output_dir=ünï" if command == "train" else ""
    done = shell(
        f"recsys {command} {shlex.join(keys)} data.name=Jürgen {name}", LC_ALL="POSIX", PYTHONUTF8="0"
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.isascii()
    assert "Traceback" not in done.stderr
    if command == "train":
        assert result_in(Path("ünï"))["data"]["name"] == "Jürgen"
        assert shell("recsys recommend run=ünï user=1 min_ratings=0").returncode == 0
        assert "Jürgen" in shell("recsys compare dir=ünï").stdout


def test_our_files_are_read_in_utf_8_whatever_the_locale() -> None:
    done = shell(TRAIN, PYTHONWARNDEFAULTENCODING="1")
    assert done.returncode == 0
    own = [line for line in done.stderr.splitlines() if "EncodingWarning" in line and "/recsys/" in line]
    assert own == []


def test_control_characters_are_shown_and_markup_is_text(
    runs: None, capsys: pytest.CaptureFixture[str]
) -> None:
    compare([Path("runs")])
    printed = capsys.readouterr().out
    assert printed.count(r"a[/b]k[red]ü\x1b[2J\x9b") == 2, "in the table and in the failure"
    assert "\x1b" not in printed
    assert "\x9b" not in printed
    compare([Path("runs")], "json")
    text = capsys.readouterr().out
    assert text.replace("\n", "").isprintable()
    assert {row["model"] for row in json.loads(text)} == {ODD, "b"}


@pytest.mark.parametrize(
    "arguments",
    [r"data.name=$'a[/b]\x1b[2J'", r"data.name=$'k[red]\xc2\x9b' output_dir=$'k[red]\x1b]0;x\x07'"],
)
def test_names_of_data_and_folders_do_not_control_the_terminal(arguments: str) -> None:
    done = shell(f"recsys train {shlex.join(QUICK)} {arguments} 2>&1")
    assert done.returncode == 0, done.stdout
    assert done.stdout.replace("\n", "").isprintable()
    assert ("a[/b]\\x1b[2J, 300 test" if "[/b]" in arguments else "k[red]\\x9b, 300 test") in done.stdout


def test_tracebacks_and_warnings_do_not_control_the_terminal(tmp_path: Path) -> None:
    (tmp_path / "failing.py").write_text(
        "import warnings\n"
        "from recsys.data.sources.synthetic import Synthetic\n"
        "class Source(Synthetic):\n"
        "    def load(self):\n"
        "        warnings.warn('old\\x1b[2J')\n"
        "        raise ZeroDivisionError('none\\x1b[2J')\n"
    )
    done = shell(f"{TRAIN} data._target_=failing.Source", **modules_in(tmp_path))
    assert done.returncode == 1
    assert "UserWarning: old\\x1b[2J" in done.stderr
    assert done.stderr.endswith("ZeroDivisionError: none\\x1b[2J\n")
    assert "\x1b" not in done.stderr


@pytest.mark.parametrize("command", ["train data=table data.path", "recommend user=1 run", "compare dir"])
def test_errors_and_logs_do_not_control_the_terminal(command: str) -> None:
    done = shell(f"recsys {command}=$'no\\x1b]0;title\\x07\\r'")
    assert done.returncode == 1
    assert "no\\x1b]0;title\\x07\\r" in done.stderr
    assert done.stderr.replace("\n", "").isprintable()
