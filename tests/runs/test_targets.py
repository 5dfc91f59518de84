"""What a class that cannot be imported means, and what to do."""

from pathlib import Path

import pytest
from omegaconf import OmegaConf

from recsys.errors import ConfigError, RunError
from recsys.runs.network import build_network
from recsys.runs.record import resolve_config
from recsys.runs.targets import import_target


def reason(name: str) -> str:
    with pytest.raises(ConfigError) as caught:
        import_target(name)
    return str(caught.value).removeprefix("cannot be imported: ")


def test_an_object_is_imported_by_its_name() -> None:
    assert import_target("pathlib.Path") is Path


def test_a_missing_package_names_what_was_searched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", "/some/folder")
    monkeypatch.setattr("sys.path", [])
    message = reason("nopkg.Net")
    assert message.startswith("there is no module 'nopkg' in PYTHONPATH (/some/folder) or site-packages (/")
    assert "and the current folder is not searched; " in message
    assert "PYTHONPATH=<folder that contains nopkg>:$PYTHONPATH" in message
    assert "pip install -e <folder" in message
    monkeypatch.delenv("PYTHONPATH")
    monkeypatch.setattr("sys.path", [""])
    message = reason("nopkg.Net")
    assert message.startswith(
        "there is no module 'nopkg' in the current folder, PYTHONPATH (not set) or site-packages ("
    )
    assert "PYTHONPATH=<folder that contains nopkg>," in message


@pytest.mark.parametrize(
    ("file", "folder"), [("mine.py", "."), ("mine/__init__.py", "."), ("src/mine/__init__.py", "src")]
)
def test_a_package_in_the_current_folder_is_found(
    file: str, folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / file).touch()
    monkeypatch.delenv("PYTHONPATH", raising=False)
    monkeypatch.setattr("sys.path", [])
    assert reason("mine.Net").endswith(f"; {file} exists: start the command with PYTHONPATH={folder}")


def test_a_missing_class_names_the_file_and_a_similar_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "target_a.py").write_text("class MyNet: ...")
    monkeypatch.syspath_prepend(tmp_path)
    file = tmp_path / "target_a.py"
    assert reason("target_a.MyNett") == f"target_a ({file}) has no 'MyNett'; did you mean target_a.MyNet?"
    assert reason("target_a.Other.x") == f"target_a ({file}) has no 'Other'"


def test_an_error_in_the_module_names_file_and_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "target_b.py").write_text("\nimport nothing_like_this")
    (tmp_path / "target_c.py").write_text("x = (")
    (tmp_path / "target_d.py").write_text("1 / 0")
    monkeypatch.syspath_prepend(tmp_path)
    assert reason("target_b.Net") == (
        f"ModuleNotFoundError: No module named 'nothing_like_this' ({tmp_path / 'target_b.py'}:2)"
    )
    assert reason("target_c.Net").startswith("SyntaxError: '(' was never closed (target_c.py, line 1)")
    assert reason("target_d.Net") == f"ZeroDivisionError: division by zero ({tmp_path / 'target_d.py'}:1)"


@pytest.mark.parametrize("name", ["Net", 3])
def test_a_name_without_a_package_is_explained(name: str) -> None:
    assert reason(name) == "write <package>.<class>, such as mypkg.MyNet"


def test_hydra_logs_nothing(caplog: pytest.LogCaptureFixture) -> None:
    reason("nopkg.Net")
    assert caplog.records == []


def test_the_class_of_a_checkpoint_or_a_data_source_has_the_same_message() -> None:
    with pytest.raises(
        RunError, match=r"^best\.ckpt: its network nopkg\.Net cannot be imported: there is no module"
    ):
        build_network({"class": "nopkg.Net", "arguments": {}}, Path("best.ckpt"), trust=True)
    with pytest.raises(
        ConfigError, match=r"^data\._target_=nopkg\.Data: cannot be imported: there is no module"
    ):
        resolve_config(OmegaConf.create({"data": {"_target_": "nopkg.Data"}}))
