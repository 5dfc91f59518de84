"""The package as a whole: its version, and what importing it does."""

import json
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import recsys


def test_version_is_that_of_pyproject() -> None:
    pyproject = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())
    assert recsys.__version__ == pyproject["project"]["version"]


@pytest.mark.slow
def test_importing_recsys_changes_nothing_and_loads_nothing() -> None:
    script = """
import json, os, sys
before, argv = dict(os.environ), list(sys.argv)
import recsys, recsys.data, recsys.training
loaded = {"torch", "pytorch_lightning", "hydra"} & set(sys.modules)
print(json.dumps([dict(os.environ) == before, sys.argv == argv, sorted(loaded), sorted(dir(recsys))]))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    same_environment, same_argv, loaded, names = json.loads(done.stdout)
    assert same_environment
    assert same_argv
    assert loaded == []
    assert {"compose", "train", "Recommender", "Run", "load_run"} <= set(names)
