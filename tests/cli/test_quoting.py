"""Arguments that Hydra's grammar refuses unless they are quoted."""

import shlex
from pathlib import Path

import hydra
import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from support.commands import result_in, run, shell
from support.tiny import QUICK

from recsys.cli.quoting import quote_for_hydra
from recsys.paths import conf_dir
from recsys.runs.folder import resume_command


@pytest.mark.parametrize(
    "text",
    [
        "Jürgen1",
        "ünï",
        "/my runs/ü (1)",
        "a[/b]",
        "e{",
        "Children's ü",
        'ü"',
        "#1",
        "a\x1bb",
        "\udcff",
        "C:\\ü\\",
    ],
)
def test_hydra_gets_the_text_that_the_user_typed(text: str) -> None:
    with hydra.initialize_config_dir(conf_dir(), version_base="1.3"):
        assert hydra.compose("recommend", [quote_for_hydra(f"ratings={text}")]).ratings == text


@pytest.mark.parametrize(
    "argument",
    [
        "user='ü'",
        'user="ü"',
        "data.name=[ü]",
        "data={name:ü}",
        "run=${oc.env:HOME}/ü",
        "seed=choice(1,ü)",
        "run='a',ü",
        "a=1,2",
        "run=a b",
        "run=a\\,b",
        "ü=1",
        "run=ü,,b",
        "--config-dir=ü",
    ],
)
def test_what_hydra_parses_and_what_it_should_refuse_stay_as_they_are(argument: str) -> None:
    assert quote_for_hydra(argument) == argument


def test_commas_separate_the_values_of_a_sweep() -> None:
    quoted = quote_for_hydra("data.path=a.csv, Ünï (1).csv,b\\,ö.csv,3")
    values = OverridesParser.create().parse_override(quoted).sweep_iterator()
    assert [getattr(value, "text", value) for value in values] == ["a.csv", "Ünï (1).csv", "b,ö.csv", 3]


@pytest.mark.slow
def test_a_run_with_names_outside_hydras_grammar(tmp_path: Path) -> None:
    folder = tmp_path / "Jürgen's runs [1]"
    arguments = [*QUICK, "data.name=ünï"]
    run("train", *arguments, f"output_dir={folder}")
    assert result_in(folder)["data"]["name"] == "ünï"
    (folder / "result.json").unlink()
    changed = run("train", "data.name=önï", "resume=true", f"output_dir={folder}", code=1).stderr
    assert "data.name='önï': a resumed run keeps its original configuration (data.name=ünï)" in changed
    for same in ("data.name=ünï", "data.name='ünï'"):
        run("train", same, "resume=true", f"output_dir={folder}")
        (folder / "result.json").unlink()
    done = shell(resume_command(folder).replace("recsys-train", "recsys train"))
    assert done.returncode == 0, done.stderr
    assert result_in(folder)["status"] == "completed"
    found = run("recommend", "user=Jürgen1", f"run={folder}", code=1).stderr
    assert "Jürgen1" in found
    assert "user" in found


@pytest.mark.slow
def test_a_sweep_over_names_outside_hydras_grammar() -> None:
    done = shell(f"recsys train -m {shlex.join(QUICK)} data.name=ünï,b 'output_dir=swéep (1)'")
    assert done.returncode == 0, done.stderr
    names = [result_in(Path("swéep (1)", job))["data"]["name"] for job in "01"]
    assert names == ["ünï", "b"]
    assert shell("recsys compare 'dir=swéep (1)'").returncode == 0


def test_ids_and_titles_are_utf_8_in_any_locale() -> None:
    """With LC_ALL=POSIX, Python replaces the bytes of an argument that are not ASCII by surrogates."""
    argument = "user=ü9".encode().decode("ascii", "surrogateescape")
    assert argument != "user=ü9"
    assert quote_for_hydra(argument) == quote_for_hydra("user=ü9") == "user='ü9'"
