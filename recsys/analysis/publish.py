"""Write a report to the run folder: PNG and SVG files, TensorBoard figures and projector, an HTML page."""

import os
import shutil
from pathlib import Path
from typing import Any

import pandas as pd
from filelock import FileLock

from recsys.analysis.curves import FIGURES
from recsys.analysis.figures.style import styled, to_files
from recsys.analysis.html import render_report
from recsys.analysis.report import Report
from recsys.atomic import atomic_write, remove_leftovers
from recsys.errors import RunError
from recsys.runs.load import LoadedRun

PAGE, LOCK = "explore.html", ".explore.lock"


def publish(report: Report, run: LoadedRun) -> Path:
    """Write the page and the folder of figures; an earlier report is replaced.

    Both are written under temporary names and then renamed, so a killed process leaves no partial report. A lock makes
    sure that the temporary names found here are those of killed processes, which are removed.

    Returns:
        The path of the page.

    Raises:
        RunError: the run folder cannot be written to.
    """
    try:
        with FileLock(run.folder / LOCK):
            try:
                _remove_leftovers(run.folder)
                return _publish(report, run)
            finally:
                (run.folder / LOCK).unlink(missing_ok=True)
    except OSError as problem:
        raise RunError(f"{run.folder}: cannot be written to ({problem.strerror})") from None


def _publish(report: Report, run: LoadedRun) -> Path:
    folder, page = run.folder / FIGURES, run.folder / PAGE
    temporary = folder.with_name(f".{folder.name}.{os.getpid()}")
    try:
        temporary.mkdir()
        svgs = write_figures(report, temporary)
        write_tensorboard(report, temporary)
        with atomic_write(page) as temporary_page:
            temporary_page.write_text(render_report(report, svgs, run.result), encoding="utf-8")
            if folder.is_symlink():
                folder.unlink()  # what it points to stays
            shutil.rmtree(folder, ignore_errors=True)
            temporary.rename(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return page


def _remove_leftovers(folder: Path) -> None:
    """Remove the temporary folders and pages of killed processes; other processes wait for the lock."""
    for leftover in folder.glob(f".{FIGURES}.[0-9]*"):
        shutil.rmtree(leftover, ignore_errors=True)
    remove_leftovers(folder, PAGE)


def write_figures(report: Report, folder: Path) -> list[str]:
    """Write each figure as a PNG and an SVG file, and return the <svg> elements."""
    svgs = []
    for figure in report.figures:
        png, svg = to_files(figure.figure)
        (folder / f"{figure.name}.png").write_bytes(png)
        (folder / f"{figure.name}.svg").write_text(f'<?xml version="1.0"?>\n{svg}', encoding="utf-8")
        svgs.append(svg)
    return svgs


@styled
def write_tensorboard(report: Report, folder: Path) -> None:
    """Write the figures as TensorBoard images, and the item vectors for TensorBoard's projector."""
    from torch.utils.tensorboard import SummaryWriter

    with SummaryWriter(str(folder)) as writer:
        for figure in report.figures:
            writer.add_figure(f"explore/{figure.name}", figure.figure, close=False)
        if report.vectors is not None:
            columns = ["title", "genres", "year", "rows"]
            rows = [[_cell(value) for value in row] for row in report.items[columns].to_numpy()]
            header = [*columns[:-1], "ratings" if "mean" in report.items else "interactions"]
            writer.add_embedding(report.vectors, rows, tag="items", metadata_header=header)


def _cell(value: Any) -> str:
    """Return a value for a TSV file, where tabs and line breaks are separators; empty if it is missing."""
    return "" if pd.isna(value) else " ".join(str(value).split())
