"""--help: the keys of a command, each with the comment next to it in its YAML file."""

import re
import subprocess
import sys

import pytest
import yaml
from support.commands import run

from recsys.cli.comments import keys_in
from recsys.cli.help import help_of
from recsys.paths import conf_dir


def key_lines(name: str, *overrides: str) -> list[str]:
    """Return the lines of the help below `Keys`."""
    lines = help_of(name, conf_dir(), list(overrides)).splitlines()
    return lines[lines.index("Keys (key=value)") + 1 :]


def comment_of(key: str, lines: list[str]) -> str:
    """Return the comment of the only line of a key, with the lines that continue it."""
    (first,) = [number for number, line in enumerate(lines) if line.strip().startswith(f"{key}:")]
    comments = [lines[first].partition("# ")[2]]
    for line in lines[first + 1 :]:
        if not line.strip().startswith("#"):
            break
        comments.append(line.partition("# ")[2])
    return " ".join(filter(None, comments))


@pytest.fixture(autouse=True)
def wide_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")


def test_keys_and_comments_of_a_file() -> None:
    text = """# a header
defaults:
  - data: ml-100k # the data set
  - _self_
seed: 1 # a number # with a hash
name: "a # b"
# above a key
l2: # a group
  biases: 0.1 # nested
user: {id: true, history: false} # on one line
text: |
  not # a comment
last: [1, 2] # a list
"""
    assert keys_in(text) == {
        "data": "the data set",
        "seed": "a number # with a hash",
        "name": "",
        "l2": "a group",
        "l2.biases": "nested",
        "user": "on one line",
        "user.id": "",
        "user.history": "",
        "text": "",
        "last": "a list",
    }


def test_a_comment_comes_from_the_file_that_decides_the_value() -> None:
    default = key_lines("train")
    assert comment_of("batch_size", default) == "ratings per step and device"  # the primary file
    assert (
        comment_of("cycle_mult", default) == "2: each cycle is twice as long as the one before"
    )  # an option
    assert comment_of("margin", default).startswith("rating points by which")  # a base file of an option
    assert comment_of("verify", default) == "false: accept an archive with any checksum"
    assert comment_of("vectors", default).startswith("on the vectors: val/rmse .8919")
    bias = key_lines("train", "model=bias")
    assert comment_of("vectors", bias).startswith("as in the search for model=neumf")  # the file of the model
    assert (
        comment_of("snapshots", key_lines("train", "experiment=zaitsev-2018")) == "no ensemble in the article"
    )


def test_a_config_group_has_the_comment_of_the_defaults_list() -> None:
    expected = "where predictions are computed, in float32; only hardware.accelerator matters"
    assert comment_of("hardware", key_lines("evaluate")) == expected


def test_values_are_shown_as_they_are_typed() -> None:
    lines = key_lines("train", "seed=7", "data=table", "loss=bpr")
    shown = {line.partition("#")[0].strip() for line in lines}
    assert {
        "seed: 7",
        "hidden: [64]",
        "scale: [1, 5]",
        "path: ???",
        "threshold: ${ranking.threshold}",
    } <= shown
    assert {"run: null", "refit: false", "lr: 0.003", "averaging: {}"} <= shown


@pytest.mark.parametrize("width", [60, 80, 160])
def test_comments_wrap_at_the_width_of_the_terminal(width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "1000")
    long = key_lines("recommend")
    monkeypatch.setenv("COLUMNS", str(width))
    wrapped = key_lines("recommend")
    end = wrapped.index("")
    assert max(map(len, wrapped[:end])) <= width
    for key in ("candidates", "min_ratings", "hardware"):
        assert comment_of(key, wrapped) == comment_of(key, long)
    columns = {line.index("#") for line in wrapped[:end] if "#" in line}
    assert len(columns) == 1, "comments are aligned"


@pytest.mark.parametrize("data", ["ml-100k", "ml-1m", "ml-10m", "ml-latest", "ml-latest-small"])
@pytest.mark.parametrize("name", ["train", "prepare"])
def test_checksums_are_hidden(name: str, data: str) -> None:
    text = "\n".join(key_lines(name, f"data={data}"))
    assert not re.search("[0-9a-f]{32}|md5|members|sha256", text)
    assert f"name: {data}" in text


@pytest.mark.parametrize(
    ("name", "keys"),
    [
        ("evaluate", {"hardware", "run", "part", "checkpoint", "ranking", "trust", "format"}),
        ("compare", {"dir", "test", "html", "format"}),
        ("prepare", {"data", "format"}),
        ("average", {"hardware", "dir", "runs", "trust", "output_dir"}),
        ("explore", {"hardware", "run", "checkpoint", "top", "components", "map", "trust", "format"}),
    ],
)
def test_a_command_shows_its_own_keys_only(name: str, keys: set[str]) -> None:
    lines = key_lines(name)
    shown = yaml.safe_load("\n".join(line for line in lines if re.match(r"\s*\w+:( |$)", line)))
    assert set(shown) == keys
    assert shown.get("hardware", {"accelerator": ""}).keys() == {"accelerator"}, "the rest is about training"


@pytest.mark.slow
@pytest.mark.parametrize("command", ["train", "recommend", "prepare"])
def test_help_does_not_import_torch(command: str) -> None:
    code = f"import sys; from recsys.cli.{command} import main; main(); print(sorted(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", code, "--help"], capture_output=True, text=True, check=True, timeout=60
    )
    modules = done.stdout.splitlines()[-1]
    assert "'hydra'" in modules
    for heavy in ("torch", "pandas", "matplotlib", "pytorch_lightning"):
        assert f"'{heavy}'" not in modules


@pytest.mark.slow
def test_the_configuration_for_programs_has_no_comments() -> None:
    config = yaml.safe_load(run("train", "--cfg", "job").stdout)
    assert config["data"]["md5"]
    assert config["hardware"]["devices"] == 1
