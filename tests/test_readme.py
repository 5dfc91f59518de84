"""The commands, snippets, links and file names of the documentation are tried."""

import ast
import math
import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from support.archives import pack, sample_ratings, tabs_members
from support.tiny import SHORT, SMALL

from recsys.cli.quoting import quote_for_hydra
from recsys.config.validate import validate, validate_data
from recsys.data.sources import download
from recsys.experiment.train import train
from recsys.paths import conf_dir

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text()
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(ROOT.glob("docs/*.md"))]


def shell_lines(text: str) -> list[str]:
    """Return the lines of all bash blocks, without comments."""
    blocks = re.findall(r"```bash\n(.*?)```", text, re.S)
    return [line.split(" #")[0].strip() for block in blocks for line in block.splitlines()]


def commands(text: str) -> set[str]:
    """Return all commands of this project, in bash blocks and inline."""
    inline = re.findall(r"`(recsys-[^`\n]+)`", text)
    return {
        line for line in [*shell_lines(text), *inline] if line.startswith("recsys-") and "=..." not in line
    }


README_COMMANDS = sorted(commands(README))
# tests/examples runs the commands of own-code.md, which name the package in examples/.
COMPOSED = [page for page in PAGES if page.name != "own-code.md"]
DOCS_COMMANDS = sorted(set().union(*(commands(page.read_text()) for page in COMPOSED)) - set(README_COMMANDS))


def is_training(command: str) -> bool:
    # Commands that resume a run or a sweep need one; tests/runs and tests/sweeps have them.
    return command.startswith("recsys-train ") and "resume=" not in command and "<" not in command


def one_run(command: str) -> list[str]:
    """Return the overrides of a command for a single run on a CPU, with the first of several swept values."""
    elsewhere = ("sweep=", "hydra/", "hydra.", "hardware=", "hardware.")
    words = [word for word in shlex.split(command)[1:] if "=" in word and not word.startswith(elsewhere)]
    words = [re.sub(r"=([^\[,(]+),.*", r"=\1", word) for word in words]
    return [re.sub(r"=(range|tag|interval)\(.*", "=1", word) for word in words]


def create_files(overrides: list[str]) -> None:
    """Create empty files for the paths of data=table in the current folder."""
    for override in overrides:
        key, _, value = override.partition("=")
        for path in value.strip("[]").split(",") if key in ("data.path", "data.items", "data.users") else ():
            Path(path).touch()


def split_by_page(choose: Callable[[str], bool]) -> list[Any]:
    """Return commands as test parameters; those that are only in docs/ are many, so their tests are slow."""
    slow = [pytest.param(command, marks=pytest.mark.slow) for command in DOCS_COMMANDS if choose(command)]
    return [*filter(choose, README_COMMANDS), *slow]


def test_the_readme_is_short_and_starts_with_two_commands() -> None:
    assert len(README.splitlines()) <= 200
    assert shell_lines(README)[:2] == ["make train", "make test"]


def test_make_targets_are_documented_and_run_by_ci() -> None:
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M)
    assert targets == ["setup", "train", "test", "test-all", "lint", "docs", "release", "bench-gpu", "bench"]
    contributing = (ROOT / "CONTRIBUTING.md").read_text()
    assert re.findall(r"^\| `make ([a-z-]+)`", contributing, re.M) == targets
    for script in (".ci/run", ".github/workflows/ci.yml"):
        for target in ("test", "test-all", "lint", "docs", "release"):
            assert re.search(rf"make {target}( #|$)", (ROOT / script).read_text(), re.M), (script, target)


@pytest.mark.slow
@pytest.mark.parametrize(
    "command", [command for command in filter(is_training, README_COMMANDS) if "data.path=" not in command]
)
def test_training_commands_of_the_readme_run(command: str, compose, tmp_path: Path) -> None:
    overrides = one_run(command)
    official = (
        ["data.name=ml-100k"] if any("ml-100k" in word for word in overrides) else []
    )  # has official folds
    train(compose(*overrides, *SMALL, *SHORT, *official), tmp_path / "run")
    assert (tmp_path / "run" / "result.json").is_file()


@pytest.mark.slow
@pytest.mark.parametrize("command", split_by_page(is_training))
def test_training_commands_are_valid(command: str, compose) -> None:
    for package in ("mlflow", "wandb"):
        if package in command:
            pytest.importorskip(package, reason=f"logger={package} needs it")
    create_files(one_run(command))
    validate(compose(*one_run(command), "hardware=cpu"))


@pytest.mark.parametrize("command", README_COMMANDS + DOCS_COMMANDS)
def test_choices_of_commands_exist(command: str) -> None:
    for group, choices in re.findall(r"([\w/]+)=([\w,-]+)(?=\s|$)", command):
        group = f"hydra/{group.removeprefix('hydra/')}" if group.startswith("hydra/") else group
        if (Path(conf_dir()) / group).is_dir():
            for choice in choices.split(","):
                assert Path(conf_dir(), group, f"{choice}.yaml").is_file() or choice == "basic", command


@pytest.mark.parametrize("command", split_by_page(lambda command: not command.startswith("recsys-train")))
def test_other_commands_compose(command: str, compose) -> None:
    name, *overrides = shlex.split(command)
    create_files(overrides)
    cfg = compose(*map(quote_for_hydra, overrides), name=name.removeprefix("recsys-"))
    if "data" in cfg:
        validate_data(cfg)


@pytest.mark.slow
def test_python_snippets_of_the_readme_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RECSYS_MIRROR", str(tmp_path))
    monkeypatch.setattr(download, "verify_archive", lambda *_: (True, "synthetic ratings"))
    movies = {number: (f"Movie {number} (1990)", "Drama") for number in range(1, 61)}
    pack(tmp_path / "ml-100k.zip", tabs_members(sample_ratings(movies, users=50)[::2]))
    first, second = re.findall(r"```python\n(.*?)```", README, re.S)

    run_snippet(first)
    assert "test/rmse" in capsys.readouterr().out

    namespace, last_value = run_snippet(second)
    run = namespace["run"]
    assert 0 < run.metrics["test/rmse"] < 4
    assert math.isclose(run.metrics["test/rmse"], run.result["metrics"]["test/rmse"])
    assert Path(run.folder).resolve() == tmp_path / "outputs" / "mine"
    assert isinstance(last_value, pd.DataFrame)
    assert len(last_value) == 5
    assert last_value.columns[0] == "item"


def run_snippet(code: str) -> tuple[dict[str, Any], Any]:
    """Run a snippet; return its variables and the value of its last expression."""
    tree = ast.parse(code)
    last = tree.body[-1]
    assert isinstance(last, ast.Expr)
    namespace: dict[str, Any] = {}
    exec(compile(ast.Module(tree.body[:-1], []), "README.md", "exec"), namespace)
    return namespace, eval(compile(ast.Expression(last.value), "README.md", "eval"), namespace)


def test_the_table_of_choices_equals_the_folders_of_conf() -> None:
    page = (ROOT / "docs" / "configuration.md").read_text()
    block = re.search(r"```text\n(data .*?)```", page, re.S)
    assert block is not None
    for group, *choices in map(str.split, block[1].splitlines()):
        found = {path.stem for path in (Path(conf_dir()) / group).glob("*.yaml")}
        assert {choice.rstrip("*") for choice in choices} == found, group


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(), re.M)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", [*PAGES, ROOT / "CHANGELOG.md"], ids=lambda page: page.name)
def test_links_and_file_names_exist(page: Path) -> None:
    text = page.read_text()
    for target, _, anchor in (link.partition("#") for link in re.findall(r"\]\(([^):\s]+)\)", text)):
        file = page.parent / target if target else page
        assert file.exists(), target
        assert not anchor or anchor in anchors(file), f"{target}#{anchor}"
    folders = "recsys|conf|tests|docs|benchmarks|hydra_plugins|examples"
    names = re.findall(rf"(?:^|[` ])((?:{folders})/[\w./-]+\.(?:py|md|yaml|png))\b", text)
    for name in names:
        assert (ROOT / name).exists(), name
