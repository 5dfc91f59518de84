import json
from pathlib import Path

import pytest
from support.commands import run
from support.finished import finished_run
from support.tiny import QUICK

from recsys.cli.explore import explore
from recsys.errors import ConfigError, RunError

FIGURES = {"correlations", "component-1", "component-2", "map-1-2", "bias-items", "bias-users", "curves"}
FIGURES |= {"predictions", "calibration", "errors-by-activity", "errors-by-popularity", "cross-table"}


@pytest.fixture
def run_folder(tmp_path: Path) -> Path:
    """The folder of a finished run with TensorBoard events."""
    folder = tmp_path / "outputs" / "runs" / "one"
    folder.mkdir(parents=True)
    return finished_run(folder, [*QUICK, "logger=tensorboard", "model.embedding_dim=8"])


@pytest.mark.slow
def test_the_report_is_written_to_the_run_folder_only(run_folder: Path, tmp_path: Path) -> None:
    before = set(tmp_path.rglob("*"))
    done = run("explore", "components=2")
    assert "Strongest correlations of each component" in done.stdout
    assert done.stdout.splitlines()[-2] == "report: outputs/runs/one/explore.html"
    written = {path for path in set(tmp_path.rglob("*")) - before if path.is_file()}
    figures = {path.relative_to(run_folder / "figures") for path in written - {run_folder / "explore.html"}}
    names = {str(path) for path in figures if not path.name.startswith("events.")}
    expected = {f"{name}.{suffix}" for name in FIGURES for suffix in ("png", "svg")}
    expected |= {"projector_config.pbtxt", "00000/items/metadata.tsv", "00000/items/tensors.tsv"}
    assert names == expected

    done = run("explore", "components=1", "format=json")
    rows = json.loads(done.stdout)
    assert {row["component"] for row in rows} == {1}
    assert list(rows[0]) == ["component", "property", "items", "r", "low", "high", "p", "partial"]
    assert rows[0]["partial"] is None, "mean rating has no partial correlation: it is controlled for"
    assert "no map of components 1 and 2: only 1 computed" in done.stderr
    assert not (run_folder / "figures" / "component-2.png").exists(), "the earlier report is replaced"


@pytest.mark.slow
def test_a_network_without_item_vectors_has_no_components(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    finished_run(folder, [*QUICK, "model=bias"])
    report, page = explore(str(folder))
    assert [note.split(":")[0] for note in report.notes] == ["no components", "no learning curves"]
    assert "bias has no item vectors" in page.read_text(encoding="utf-8")
    assert not list(folder.glob("figures/projector*"))
    names = {figure.name for figure in report.figures}
    assert names == {name for name in FIGURES if name.startswith(("bias", "pred", "cal", "err", "cross"))}
    assert "Source of the biases: the network." in report.figures[0].caption


@pytest.mark.slow
def test_an_unwritable_folder_is_reported_and_stays_clean(run_folder: Path) -> None:
    (run_folder / "explore.html").mkdir()
    with pytest.raises(RunError, match="one: cannot be written to"):
        explore(str(run_folder), components=1)
    assert not list(run_folder.glob(".*explore*")) + list(run_folder.glob(".figures*"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"top": 0}, "top=0: should be a whole number above 0"),
        ({"components": "two"}, "components=two: should be"),
        ({"axes": "12"}, r"map=\['1', '2'\]: should be two different components"),
        ({"axes": [1]}, r"map=\[1\]: should be two different components"),
        ({"axes": [2, 2]}, "should be two different components"),
        ({"checkpoint": "worst"}, "checkpoint=worst: "),
    ],
)
def test_invalid_values_are_rejected_before_the_run_is_read(arguments: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        explore("nowhere", **arguments)


def test_unfinished_and_failed_runs_are_rejected(tmp_path: Path) -> None:
    (tmp_path / ".hydra").mkdir()
    with pytest.raises(RunError, match=str(tmp_path)):
        explore(str(tmp_path))
    (tmp_path / "failed.json").write_text('{"error": "TrainingError: no"}')
    with pytest.raises(RunError, match=r"failed \(TrainingError: no"):
        explore(str(tmp_path))
    with pytest.raises(RunError, match="none"):
        explore(str(tmp_path / "none"))
