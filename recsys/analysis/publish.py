"""Leave a story in the run's folder: PNG and SVG files, TensorBoard figures and projector, one HTML page."""

import html
import os
import shutil
import struct
import time
from itertools import groupby
from pathlib import Path

import numpy as np
import pandas as pd

from recsys.analysis.curves import FIGURES
from recsys.analysis.figures.style import to_files
from recsys.analysis.report import Story, small
from recsys.atomic import atomic_write
from recsys.errors import RunError
from recsys.runs.load import LoadedRun

PAGE = "explore.html"

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2em auto; max-width: 60em; padding: 0 1em; color: #222 }
h2 { margin-top: 2em; border-bottom: 1px solid #ddd } figure { margin: 1.5em 0 }
svg { max-width: 100%; height: auto } .note { color: #777 }
table { border-collapse: collapse }
td, th { padding: .2em .8em; border-bottom: 1px solid #ddd; text-align: right }
"""


def publish(story: Story, run: LoadedRun) -> Path:
    """Write everything; the figures' folder is made anew, and what is there is whole at any time.

    Returns:
        The page.

    Raises:
        RunError: the run's folder cannot be written to.
    """
    folder, page = run.folder / FIGURES, run.folder / PAGE
    making = folder.with_name(f".{folder.name}.{os.getpid()}")
    try:
        try:
            making.mkdir()
            svgs = _write_figures(story, making)
            _write_projector(story, making)
            with atomic_write(page) as writing:
                writing.write_text(_page(story, run, svgs), encoding="utf-8")
                shutil.rmtree(folder, ignore_errors=True)
                making.rename(folder)
        finally:
            shutil.rmtree(making, ignore_errors=True)
    except OSError as problem:
        raise RunError(f"{run.folder}: cannot be written to ({problem.strerror})") from None
    return page


def _write_figures(story: Story, folder: Path) -> list[str]:
    """Each picture as a PNG, an SVG and a TensorBoard image; the SVGs."""
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.summary.writer.event_file_writer import EventFileWriter

    events, svgs = EventFileWriter(str(folder)), []
    for picture in story.pictures:
        png, svg = to_files(picture.figure)
        (folder / f"{picture.name}.png").write_bytes(png)
        (folder / f"{picture.name}.svg").write_text(f'<?xml version="1.0"?>\n{svg}', encoding="utf-8")
        width, height = struct.unpack(">II", png[16:24])  # where the PNG format keeps them
        image = Summary.Image(encoded_image_string=png, width=width, height=height, colorspace=4)
        summary = Summary(value=[Summary.Value(tag=f"explore/{picture.name}", image=image)])
        events.add_event(Event(wall_time=time.time(), step=0, summary=summary))
        svgs.append(svg)
    events.close()
    return svgs


def _write_projector(story: Story, folder: Path) -> None:
    """The items' vectors as TensorBoard's projector reads them: beside events, a line per item."""
    if story.vectors is None:
        return
    np.savetxt(folder / "vectors.tsv", story.vectors, "%.6g", "\t")
    lines = [("title", "genres", "year", "ratings")]
    for item in story.items.to_dict("records"):
        year = "" if pd.isna(item["year"]) else item["year"]
        lines.append((" ".join(item["title"].split()), item["genres"], str(year), str(item["ratings"])))
    (folder / "items.tsv").write_text("".join("\t".join(line) + "\n" for line in lines), encoding="utf-8")
    (folder / "projector_config.pbtxt").write_text(
        'embeddings { tensor_name: "items" tensor_path: "vectors.tsv" metadata_path: "items.tsv" }\n'
    )


def _page(story: Story, run: LoadedRun, svgs: list[str]) -> str:
    """No scripts and nothing to fetch: the page can be sent to somebody."""
    result = run.result
    title = f"{result['model']['name']} on {result['data']['name']}"
    rows = {**result["baselines"], result["model"]["name"]: result["metrics"]}
    metric = result["objective"]["name"].replace("val/", "test/")
    told = ", ".join(f"{name} {row[metric]:.4f}" for name, row in rows.items() if metric in row)
    measured = f"{metric.split('/')[1].upper()}: {told}"
    parts = [
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{html.escape(title)}</title>'
        f"<style>{STYLE}</style><h1>{html.escape(title)}</h1>",
        f"<p>{result['data']['test']:,} test pairs, {html.escape(measured)}.</p>",
        *(f'<p class="note">{html.escape(note)}</p>' for note in story.notes),
    ]
    pairs = zip(story.pictures, svgs, strict=True)
    for section, shown in groupby(pairs, lambda pair: pair[0].section):
        parts.append(f"<h2>{html.escape(section)}</h2>")
        for picture, svg in shown:
            told = html.escape(picture.told)
            labelled = svg.replace("<svg ", f'<svg role="img" aria-label="{told}" ', 1)
            parts.append(f"<figure><p>{told}</p>{labelled}</figure>")
            if picture.name == "correlations":
                parts.append(_details(story.correlations))
    return "".join([*parts, "</html>\n"])


def _details(correlations: pd.DataFrame) -> str:
    told_p = correlations.assign(p=correlations["p"].map(small))
    table = told_p.to_html(index=False, border=0, float_format="{:+.2f}".format, na_rep="")
    told = "All of them: 95 % intervals, p-values, and partial correlations at equal mean rating"
    return f"<details><summary>{told}</summary>{table}</details>"
