import subprocess
from pathlib import Path

import pytest

from recsys import paths


def test_the_commit_is_that_of_the_checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paths, "__file__", str(tmp_path / "recsys" / "paths.py"))
    assert paths.git_commit() is None, "not a checkout"
    git = ["git", "-C", str(tmp_path), "-c", "user.name=x", "-c", "user.email=x@example.org"]
    subprocess.run([*git, "init", "--quiet"], check=True)
    assert paths.git_commit() is None, "no commit yet"
    subprocess.run([*git, "commit", "--quiet", "--allow-empty", "--message", "first"], check=True)
    head = subprocess.run(
        [*git, "log", "--format=%H"], check=True, capture_output=True, text=True
    ).stdout.strip()
    assert paths.git_commit() == head
    monkeypatch.setenv("PATH", "")
    assert paths.git_commit() is None, "no git"


def test_the_home_of_an_unknown_user_is_not_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    assert [str(paths.expanded(path)) for path in ("~/a", "~no-such-user/a", "b", 7)] == [
        *("/home/me/a", "~no-such-user/a", "b", "7")
    ]
