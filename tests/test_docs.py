"""The tutorial runs, and the documentation site has all pages and loads nothing from the network."""

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parent.parent
TUTORIAL = ROOT / "docs" / "tutorial" / "tutorial.ipynb"
NOT_INSTALLED = "pip install -e '.[docs]'"


@pytest.fixture
def build_site(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The module docs/build_site.py; it does not run the tutorial."""
    pytest.importorskip("nbconvert", reason=NOT_INSTALLED)
    spec = importlib.util.spec_from_file_location("build_site", ROOT / "docs" / "build_site.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "run_notebook", lambda _: ("# Tutorial\n\n[Data](../own-data.md)\n", {}))
    return module


def zensical(folder: Path) -> subprocess.CompletedProcess[str]:
    """Build the site in `folder` strictly from its subfolder build/docs."""
    pytest.importorskip("zensical", reason=NOT_INSTALLED)
    pytest.importorskip("mkdocstrings_handlers.python", reason=NOT_INSTALLED)
    shutil.copy(ROOT / "zensical.toml", folder)
    (folder / "recsys").symlink_to(ROOT / "recsys")
    command = [sys.executable, "-m", "zensical", "build", "--strict"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120)


def test_the_tutorial_is_stored_without_results() -> None:
    cells = [cell for cell in json.loads(TUTORIAL.read_text())["cells"] if cell["cell_type"] == "code"]
    assert len(cells) >= 10
    for cell in cells:
        assert (cell["outputs"], cell["execution_count"]) == ([], None), cell["source"]


@pytest.mark.slow
def test_the_tutorial_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nbclient = pytest.importorskip("nbclient", reason=NOT_INSTALLED)
    nbformat = pytest.importorskip("nbformat", reason=NOT_INSTALLED)
    pytest.importorskip("ipykernel", reason=NOT_INSTALLED)
    monkeypatch.setenv("TUTORIAL_DATA", "synthetic")
    monkeypatch.setenv("PATH", os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))
    notebook = nbformat.read(TUTORIAL, as_version=4)
    resources = {"metadata": {"path": str(tmp_path)}}
    nbclient.NotebookClient(notebook, timeout=200, kernel_name="python3", resources=resources).execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    printed = "".join(output.text for output in outputs if output.output_type == "stream")
    assert "20,000 ratings by 300 users of 200 items" in printed
    assert "best: recsys-train model.embedding_dim=" in printed
    assert "\x1b" not in printed, "no colours and no progress bars"
    tables = [output.data["text/html"] for output in outputs if "text/html" in output.get("data", {})]
    columns = [re.findall(r"<th>([a-z/@]\S*)</th>", table) for table in tables]
    assert [table[:1] for table in columns] == [["title"], ["test/rmse"], ["item"], ["item"], ["item"]]
    assert sum("image/png" in output.get("data", {}) for output in outputs) == 2
    assert (tmp_path / "outputs" / "sizes" / "leaderboard.html").is_file()


def test_all_files_name_the_same_repository() -> None:
    address = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["urls"]["Repository"]
    repository = address.removeprefix("https://github.com/")
    for file, count in ((ROOT / "zensical.toml", 1), (TUTORIAL, 3)):
        found = re.findall(r"(?:https://|/)github(?:\.com)?/([\w-]+/[\w-]+)", file.read_text())
        assert found == [repository] * count, file


def test_the_navigation_has_every_page() -> None:
    def pages(nav: list) -> list[str]:
        values = [value for entry in nav for value in entry.values()]
        return [page for value in values for page in (pages(value) if isinstance(value, list) else [value])]

    nav = pages(tomllib.loads((ROOT / "zensical.toml").read_text())["project"]["nav"])
    written = {file.relative_to(ROOT / "docs").as_posix() for file in (ROOT / "docs").rglob("*.md")}
    added = {"index.md", "contributing.md", "changelog.md", "tutorial/tutorial.md"}
    assert sorted(page for page in nav if not page.startswith("https:")) == sorted(written | added)


def test_links_work_in_the_site(build_site: ModuleType) -> None:
    pages = {"README.md": "index.md", "docs/a.md": "a.md", "docs/tutorial/t.ipynb": "tutorial/t.md"}

    def rewritten(link: str, source: str) -> str:
        return build_site.rewrite_links(f"[x]({link})", source, pages, "https://git.invalid/me")[4:-1]

    assert rewritten("docs/a.md#b", "README.md") == "a.md#b"
    assert rewritten("docs/images/map.png", "README.md") == "images/map.png"
    assert rewritten("../README.md#c", "docs/a.md") == "index.md#c"
    assert rewritten("tutorial/t.ipynb", "docs/a.md") == "tutorial/t.md"
    assert rewritten("../a.md", "docs/tutorial/t.ipynb") == "../a.md"
    assert rewritten("../images/map.png", "docs/tutorial/t.ipynb") == "../images/map.png"
    assert rewritten("../SECURITY.md", "docs/a.md") == "https://git.invalid/me/blob/main/SECURITY.md"
    assert rewritten("../conf", "docs/a.md") == "https://git.invalid/me/tree/main/conf"
    for unchanged in ("https://example.invalid/a.md", "#anchor", "missing.md"):
        assert rewritten(unchanged, "docs/a.md") == unchanged


@pytest.mark.slow
def test_the_site_has_the_api_and_loads_nothing_from_the_network(
    build_site: ModuleType, tmp_path: Path
) -> None:
    build_site.build(tmp_path / "build" / "docs")
    built = zensical(tmp_path)
    assert built.returncode == 0, built.stdout + built.stderr
    site = tmp_path / "build" / "site"
    assert 'id="recsys.Recommender.recommend"' in (site / "api" / "recsys" / "index.html").read_text()
    assert 'id="recsys.training.RatingModule"' in (site / "api" / "training" / "index.html").read_text()
    for page in (site / "api").rglob("*.html"):
        assert "<blockquote>" not in page.read_text(), (
            "examples (>>>) need a section Examples: in the docstring"
        )
    assert 'href="../own-data/"' in (site / "sweeps" / "index.html").read_text()
    for page in site.rglob("*.html"):
        tags = re.findall(r"<(?:script|img|iframe|link)\b[^>]*>", page.read_text())
        loaded = [tag for tag in tags if not re.search(r"\brel=\"?(next|prev)\b", tag)]  # links to follow
        assert loaded, page
        assert not [tag for tag in loaded if re.search(r"(src|href)=[\"']?(https?:)?//", tag)], page


@pytest.mark.slow
def test_a_broken_link_ends_the_build(build_site: ModuleType, tmp_path: Path) -> None:
    docs = tmp_path / "build" / "docs"
    build_site.build(docs)
    (docs / "resume.md").write_text("# Resume\n\n[missing](metrics.md#no-such-heading)\n")
    built = zensical(tmp_path)
    assert built.returncode != 0
    assert "anchor does not exist" in built.stdout + built.stderr
