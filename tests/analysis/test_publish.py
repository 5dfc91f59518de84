import io
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from recsys.analysis.figures.ratings import plot_curves
from recsys.analysis.html import render_report
from recsys.analysis.publish import write_figures, write_tensorboard
from recsys.analysis.report import Report
from recsys.analysis.sections import ReportFigure

ITEMS = pd.DataFrame(
    {
        "title": ['The "Best"\tof $ (1999)', "Léon"],
        "genres": ["Drama|War", ""],
        "year": pd.array([1999, None], "Int32"),
        "rows": [3, 2],
        "mean": [4.0, 2.5],
    }
)
RESULT = {
    "model": {"name": "<i>net</i>"},
    "data": {"name": "<script>alert(1)</script>", "test": 1234},
    "objective": {"name": "val/rmse"},
    "metrics": {"test/rmse": 0.9},
    "baselines": {"global-mean": {"test/rmse": 1.1}, "popularity": {"test/ndcg@10": 0.1}},
}


def test_everything_but_our_own_figures_is_escaped() -> None:
    bad = '"><img src=x onerror=alert(2)>'
    figure = ReportFigure("correlations", f"section {bad}", f"caption {bad}", Figure())
    correlations = pd.DataFrame(
        [
            {
                **{"component": 1, "property": bad, "items": 1500, "r": 0.5, "low": 0.4, "high": 0.6},
                **{"p": 0.0, "partial": np.nan},
            }
        ]
    )
    report = Report(ITEMS, correlations=correlations, figures=[figure], notes=[f"note {bad}"])
    page = render_report(report, ["<svg><path/></svg>"], RESULT)
    assert "<script" not in page
    assert "<img" not in page
    assert "<i>" not in page
    assert "<h1>&lt;i&gt;net&lt;/i&gt; on &lt;script&gt;alert(1)&lt;/script&gt;</h1>" in page
    assert page.count("&lt;img src=x onerror=alert(2)&gt;") == 4, "heading, caption, property and note"
    assert "<svg><path/></svg>" in page
    assert "1,234 test ratings. RMSE: global-mean 1.1000, &lt;i&gt;net" in page
    assert "<td>1,500</td><td>+0.50</td><td>+0.40</td><td>+0.60</td><td>&lt; 1e-300</td><td></td>" in page


def test_the_projector_reads_any_title(tmp_path: Path) -> None:
    write_tensorboard(Report(ITEMS, np.array([[1.0, 0.5, -2.0], [0.25, 0.0, 3.0]])), tmp_path)
    folder = tmp_path / "00000" / "items"
    lines = (folder / "metadata.tsv").read_text(encoding="utf-8").splitlines()
    assert lines[0].split("\t") == ["title", "genres", "year", "ratings"]
    assert lines[1:] == ['The "Best" of $ (1999)\tDrama|War\t1999\t3', "Léon\t\t\t2"]
    assert (folder / "tensors.tsv").read_text() == "1.0\t0.5\t-2.0\n0.25\t0.0\t3.0\n"


def test_without_vectors_there_is_no_projector(tmp_path: Path) -> None:
    write_tensorboard(Report(ITEMS), tmp_path)
    assert [path.name.split(".")[0] for path in tmp_path.iterdir()] == ["events"]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_tensorboard_shows_the_figure_in_the_png_file(tmp_path: Path) -> None:
    figure = plot_curves({"val/rmse": pd.Series([1.0, 0.9], [1, 2])}, 2)
    report = Report(ITEMS, figures=[ReportFigure("curves", "Training", "A caption.", figure)])
    (svg,) = write_figures(report, tmp_path)
    write_tensorboard(report, tmp_path)
    assert svg.startswith("<svg")
    events = EventAccumulator(str(tmp_path)).Reload()
    (image,) = events.Images("explore/curves")
    shown = np.asarray(Image.open(io.BytesIO(image.encoded_image_string)).convert("RGB"))
    np.testing.assert_array_equal(shown, np.asarray(Image.open(tmp_path / "curves.png").convert("RGB")))
