"""docs/own-code.md: its commands run as a user types them, and the classes that it shows are those of the example."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from support.commands import modules_in, result_in, run
from support.tiny import SMALL
from support.training import interrupted

from recsys.paths import conf_dir

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "mypkg"
PAGE = (ROOT / "docs" / "own-code.md").read_text()
# A command is `python -m`, because the tests may run without an installation.
COMMANDS = "\n".join(
    f'recsys-{name}() {{ {sys.executable} -m recsys.cli.{name} "$@"; }}'
    for name in ("train", "recommend", "evaluate", "compare")
)


def bash(script: str, **environment: str) -> str:
    """Run a script in the current folder, up to the first error, and return what it prints."""
    done = subprocess.run(
        ["bash", "-e", "-c", f"{COMMANDS}\n{script}"],
        capture_output=True,
        text=True,
        timeout=900,
        env={**os.environ, **environment},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_page_shows_the_files_of_the_example() -> None:
    shown = re.findall(r"```python\n(.*?)```", PAGE, re.S)
    files = [file for file in (EXAMPLE / "mypkg").glob("*.py") if file.name != "__init__.py"]
    assert len(shown) == len(files) == 6
    assert all(any(file.read_text().endswith(code) for file in files) for code in shown)


def test_the_custom_model_has_no_keys() -> None:
    assert yaml.safe_load(Path(conf_dir(), "model", "custom.yaml").read_text()) == {"_target_": "???"}


@pytest.mark.parametrize("file", sorted(EXAMPLE.glob("conf/*/*.yaml")), ids=lambda file: file.stem)
def test_the_header_of_a_file_shows_a_command(file: Path) -> None:
    lines = [line for line in file.read_text().splitlines() if "@package" not in line]
    assert lines[0].startswith("# ")
    assert re.match(rf"#   recsys-train --config-dir=examples/mypkg/conf .*{file.stem}", lines[1])


@pytest.mark.slow
def test_the_commands_of_the_page_work(tmp_path: Path) -> None:
    """Also the best command of the sweep, as it is printed."""
    shutil.copytree(EXAMPLE, tmp_path / "examples" / "mypkg")
    random = np.random.default_rng(0)
    pairs = random.choice(40 * 30, 600, replace=False)
    rows = [
        {"user": f"u{pair // 30}", "item": f"i{pair % 30}", "rating": int(random.integers(1, 6))}
        for pair in pairs
    ]
    (tmp_path / "ratings.jsonl").write_text("\n".join(map(json.dumps, rows)))
    script = "\n".join(re.findall(r"```bash\n(.*?)```", PAGE, re.S))
    assert script.count("recsys-") >= 7
    before = os.environ.get("PYTHONPATH")  # where recsys itself may be
    printed = bash(script.replace("/examples/mypkg ", f"/examples/mypkg{f':{before}' if before else ''} ", 1))
    sweep = next((tmp_path / "outputs" / "sweeps").iterdir())
    best = re.findall("^best: (.*)$", printed, re.M)
    assert len(set(best)) == 1
    assert re.fullmatch(rf"recsys-train -m --config-dir={tmp_path}/examples/mypkg/conf .* seed=1,2", best[0])
    bash(f"{best[0]} output_dir=again", **modules_in(tmp_path / "examples" / "mypkg"))
    width = re.search(r"model\.width=\d+", best[0])[0]
    originals = [result for job in range(4) if width in (result := result_in(sweep / str(job)))["overrides"]]
    for again, original in zip((result_in(Path("again", job)) for job in "01"), originals, strict=True):
        assert again["seed"] == original["seed"]
        assert again["metrics"] == pytest.approx(original["metrics"], rel=1e-4)


@pytest.mark.slow
def test_own_code_of_a_run_needs_trust(conf: str, compose, tmp_path: Path) -> None:
    quick = ["experiment=mine", *SMALL, "hardware=cpu", "logger=none", "max_epochs=2"]
    interrupted(compose(conf, *quick), tmp_path / "run", 6)
    own = modules_in(EXAMPLE)
    for command in (["train", "run=run", "resume=true"], ["recommend", "run=run", "user=1"]):
        refused = run(*command, code=1, **own)
        assert re.search(r"uses 'mypkg\.[\w.]+', which is not part of recsys.*add trust=true", refused.stderr)
        assert "Traceback" not in refused.stderr
        missing = run(*command, "trust=true", code=1)
        assert "cannot be imported: there is no module 'mypkg' in " in missing.stderr
        assert "PYTHONPATH=<folder that contains mypkg>" in missing.stderr
        assert "Traceback" not in missing.stderr
        run(*command, "trust=true", **own)
    for command in ("evaluate", "explore"):
        assert "trust=true" in run(command, "run=run", code=1, **own).stderr
    run("explore", "run=run", "trust=true", **own)
    assert "test/long-tail@10" in run("evaluate", "run=run", "trust=true", "format=json", **own).stdout


@pytest.mark.slow
def test_the_runs_of_a_sweep_can_be_averaged(tmp_path: Path) -> None:
    """The configuration names mypkg.MyNet, and checkpoints the module of the class, mypkg.model.MyNet."""
    quick = ["experiment=mine", *SMALL, "hardware=cpu", "logger=none", "max_epochs=1"]
    arguments = [f"--config-dir={EXAMPLE / 'conf'}", "-m", *quick, "seed=1,2", "sweep.average=true"]
    run("train", *arguments, "output_dir=sweep", **modules_in(EXAMPLE))
    assert len(result_in(tmp_path / "sweep" / "average")["members"]) == 2
    assert "trust=true" in run("average", "dir=sweep", code=1, **modules_in(EXAMPLE)).stderr
    run("average", "dir=sweep", "trust=true", **modules_in(EXAMPLE))


@pytest.mark.slow
def test_the_example_can_be_installed(tmp_path: Path) -> None:
    pytest.importorskip("hatchling", reason="pip install hatchling")
    pip = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-deps",
        "--no-build-isolation",
        "--no-index",
    ]
    shutil.copytree(EXAMPLE, tmp_path / "mypkg")
    subprocess.run([*pip, "--target", tmp_path / "site", tmp_path / "mypkg"], check=True, timeout=120)
    printed = bash(
        f"{sys.executable} -c 'import mypkg; print(mypkg.__file__)'", **modules_in(tmp_path / "site")
    )
    assert printed == f"{tmp_path / 'site' / 'mypkg' / '__init__.py'}\n"


@pytest.mark.slow
def test_options_may_follow_keys_and_suggestions_know_own_files(tmp_path: Path) -> None:
    own = modules_in(EXAMPLE)
    folder = str(EXAMPLE / "conf")
    done = run(
        "train",
        "data=synthetic",
        f"--config-dir={folder}",
        "split=last-days",
        "--cfg",
        "job",
        "seed=7",
        **own,
    )
    assert "_target_: mypkg.LastDays" in done.stdout
    assert "seed: 7" in done.stdout
    for option in ([f"--config-dir={folder}"], ["--config-dir", folder]):
        failed = run("train", "split=last-days", "split.tst_days=3", *option, code=1, **own)
        assert failed.stderr == "split.tst_days: no such key\nDid you mean split.test_days=3?\n"


@pytest.mark.slow
def test_broken_yaml_of_the_user_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment" / "bad.yaml").write_text("a: [\n")
    failed = run("train", f"--config-dir={tmp_path}", "experiment=bad", code=1)
    assert failed.stderr.startswith("a configuration file is not valid YAML: ")
    assert "bad.yaml" in failed.stderr
    assert len(failed.stderr.splitlines()) == 1


@pytest.mark.slow
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "has no defaults list; begin it with defaults: [train, _self_]"),
        (b"seed: \xff", "is not text in UTF-8"),
        (b"- train", "must consist of keys and values"),
        (b"5", "must consist of keys and values"),
        (b"defaults: 5", "defaults: must be a list"),
        (b"defaults: [train, _self_]\nhydra: 5", "hydra: must consist of keys and values"),
        (b"defaults: [mine]", "its defaults list contains the file itself"),
        (b"defaults: [train]\nseed: &a [*a]", "contains itself"),
        (b"defaults: [train]\nseed: ${", "no viable alternative at input"),
    ],
)
def test_a_configuration_file_of_the_user_is_named(content: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_bytes(content)
    failed = run("train", f"--config-dir={tmp_path}", "--config-name=mine", "data=synthetic", code=1)
    assert failed.stderr.startswith(f"{tmp_path}/mine.yaml: {message}")
    assert len(failed.stderr.splitlines()) == 1


@pytest.mark.slow
def test_a_file_of_an_own_group_is_named(tmp_path: Path) -> None:
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment" / "bad.yaml").write_bytes(b"\xff")
    failed = run("train", f"--config-dir={tmp_path}", "experiment=bad", code=1)
    assert failed.stderr == f"{tmp_path}/experiment/bad.yaml: is not text in UTF-8\n"
    failed = run("train", f"--config-dir={tmp_path}", "sed=3", code=1)
    assert failed.stderr.startswith("sed: no such key"), "another mistake"


@pytest.mark.slow
def test_keys_of_other_commands_are_not_suggested() -> None:
    for command, key in (("recommend", "data.path=x"), ("evaluate", "optimizer.lr=1")):
        failed = run(command, key, code=1)
        name = key.partition("=")[0]
        assert failed.stderr == f"{name}: no such key; recsys-{command} --help lists all keys\n"


@pytest.mark.slow
def test_a_sweep_in_a_file_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    failed = run("train", "-m", "data=synthetic", "seed=1,2", f"output_dir={tmp_path / 'file' / 'x'}", code=1)
    assert "Traceback" not in failed.stderr
    assert "Not a directory; choose another folder" in failed.stderr.splitlines()[-1]
