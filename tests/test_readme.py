"""What the README shows is run."""

import re
import shlex
from pathlib import Path

import pytest
from support.tiny import SHORT, SMALL

from recsys.config.validate import validate_data
from recsys.experiment.train import train
from recsys.paths import conf_dir

ROOT = Path(__file__).resolve().parent.parent
TEXT = (ROOT / "README.md").read_text() + (ROOT / "CONTRIBUTING.md").read_text()
LINES = [
    line.split("#")[0].strip()
    for block in re.findall(r"```bash\n(.*?)```", TEXT, re.S)
    for line in block.splitlines()
]
INLINE = re.findall(r"`(recsys-[^`]+)`", TEXT)
COMMANDS = sorted({line for line in [*LINES, *INLINE] if line.startswith("recsys-")})


def test_the_two_commands_come_first() -> None:
    assert LINES[:2] == ["make train", "make test"]
    targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.M)
    assert targets == ["setup", "train", "test", "lint", "bench"]
    assert "\nmake test\n" in (ROOT / ".ci" / "run").read_text()


# Those that go on with a run have a test of their own: test_resume.py.
TRAINING = [line for line in COMMANDS if line.startswith("recsys-train") and "resume=true" not in line]


@pytest.mark.parametrize("command", TRAINING)
def test_training_commands_run(command: str, compose, tmp_path: Path) -> None:
    overrides = [
        word for word in shlex.split(command)[1:] if not word.startswith(("-", "hardware=", "sweep="))
    ]
    swept = [re.sub(r"=([^\[,]+),.*", r"=\1", word) for word in overrides]
    named = ["data.name=ml-100k"] if any("ml-100k" in word for word in overrides) else []  # of official folds
    result = train(compose(*swept, *SMALL, *SHORT, *named), tmp_path)
    assert result["status"] == "completed"
    for choice in re.findall(r"(\w+)=([\w-]+)(?:\s|$)", command):
        if (Path(conf_dir()) / choice[0]).is_dir():
            assert (Path(conf_dir(), *choice)).with_suffix(".yaml").is_file()


@pytest.mark.parametrize("command", [line for line in COMMANDS if not line.startswith("recsys-train")])
def test_other_commands_compose(command: str, compose) -> None:
    name, *overrides = shlex.split(command)
    cfg = compose(*overrides, name=name.removeprefix("recsys-"))
    if "data" in cfg:
        validate_data(cfg)
    else:
        assert "latest" in (cfg.get("run"), cfg.get("dir"))


def test_the_tree_of_choices_is_the_tree() -> None:
    block = re.search(r"## The tree of choices\n\n```text\n(.*?)```", TEXT, re.S)
    shown = {
        words[0]: {word.rstrip("*") for word in words[1:]} for words in map(str.split, block[1].splitlines())
    }
    for group, options in shown.items():
        assert options == {path.stem for path in (Path(conf_dir()) / group).glob("*.yaml")}, group


def test_links_lead_somewhere() -> None:
    for target in re.findall(r"\]\(([^)#:]+)\)", TEXT):
        assert (ROOT / target).exists(), target
