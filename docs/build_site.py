"""Write the sources of the documentation site to build/docs; `make docs` then builds the site from them.

The pages are the Markdown files of the repository as they are, and the tutorial, which is run here. Links between pages
work on GitHub and in the site. Links to other files of the repository lead to GitHub in the site.

    TUTORIAL_DATA=synthetic python docs/build_site.py
"""

import os
import posixpath
import re
import shutil
import tempfile
import tomllib
from pathlib import Path

import nbformat
from nbconvert import MarkdownExporter
from nbconvert.preprocessors import ExecutePreprocessor
from traitlets.config import Config

ROOT = Path(__file__).resolve().parent.parent
TUTORIAL = "docs/tutorial/tutorial.ipynb"
TIMEOUT = 600  # seconds per cell, of which the slowest takes half a minute
# All lines that a cell prints are one block of the page.
ONE_BLOCK = Config({"CoalesceStreamsPreprocessor": {"enabled": True}})
LINK = re.compile(r"(\]\()([^)#\s:]+)((?:#[^)\s]*)?\))")  # not addresses, which have a colon


def page_names() -> dict[str, str]:
    """Return the pages: from the path of a file in the repository to its path in the site's sources."""
    pages = {"README.md": "index.md", "CONTRIBUTING.md": "contributing.md", "CHANGELOG.md": "changelog.md"}
    for file in sorted((ROOT / "docs").rglob("*.md")):
        pages[file.relative_to(ROOT).as_posix()] = file.relative_to(ROOT / "docs").as_posix()
    return {**pages, TUTORIAL: "tutorial/tutorial.md"}


def repository() -> str:
    """Return the address of the repository."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return project["urls"]["Repository"]


def rewrite_links(text: str, source: str, pages: dict[str, str], address: str) -> str:
    """Return the text of a page with its links as the site needs them.

    Args:
        text: Markdown.
        source: the path of the page in the repository.
        pages: from `page_names`.
        address: that of the repository.
    """

    def rewrite(match: re.Match[str]) -> str:
        before, target, after = match.groups()
        path = posixpath.normpath(posixpath.join(posixpath.dirname(source), target))
        if path in pages or path.startswith("docs/images/"):
            in_site = pages.get(path, path.removeprefix("docs/"))
            target = posixpath.relpath(in_site, posixpath.dirname(pages[source]) or ".")
        elif (ROOT / path).exists():
            target = f"{address}/{'tree' if (ROOT / path).is_dir() else 'blob'}/main/{path}"
        return before + target + after

    return LINK.sub(rewrite, text)


def run_notebook(path: Path) -> tuple[str, dict[str, bytes]]:
    """Run a notebook in an empty folder.

    Returns:
        The notebook with its results as Markdown, and the images that this refers to, by name.

    Raises:
        CellExecutionError: a cell fails.
    """
    notebook = nbformat.read(path, as_version=4)
    with tempfile.TemporaryDirectory() as folder:
        resources = {"metadata": {"path": folder}}
        ExecutePreprocessor(timeout=TIMEOUT, kernel_name="python3").preprocess(notebook, resources)
    text, resources = MarkdownExporter(config=ONE_BLOCK).from_notebook_node(notebook)
    # Without the style of pandas, tables have that of the site.
    text = re.sub(r"<style scoped>.*?</style>\n", "", text, flags=re.S)
    text = text.replace('<table border="1" class="dataframe">', "<table>")
    return text, resources["outputs"]


def build(target: Path) -> None:
    """Write all sources of the site to a folder, which is emptied first."""
    pages, address = page_names(), repository()
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(ROOT / "docs" / "images", target / "images")
    for source, page in pages.items():
        (target / page).parent.mkdir(parents=True, exist_ok=True)
        text, images = (ROOT / source).read_text(), {}
        if source == TUTORIAL:
            text, images = run_notebook(ROOT / source)
        for name, content in images.items():
            (target / page).with_name(name).write_bytes(content)
        (target / page).write_text(rewrite_links(text, source, pages, address))


if __name__ == "__main__":
    os.environ.setdefault("TUTORIAL_DATA", "ml-100k")
    build(ROOT / "build" / "docs")
