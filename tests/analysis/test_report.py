import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from recsys.analysis.report import build_report
from recsys.analysis.text import (
    describe_correlations,
    describe_partial_correlations,
    format_p_value,
    join_words,
)
from recsys.runs.load import load_run
from recsys.runs.ratings import load_ratings


@pytest.mark.slow
def test_vectors_and_captions_belong_to_the_items(run_folder: Path) -> None:
    run = load_run(str(run_folder))
    report = build_report(run, load_ratings(run), 1000, 2, (1, 2))
    learned = run.checkpoint.scorer.vectors("item").numpy()
    for vector, title in zip(report.vectors, report.items["title"], strict=True):
        (index,) = np.flatnonzero(run.data.item_table["title"] == title)
        assert vector == pytest.approx(learned[index])
    captions = {figure.name: figure.caption for figure in report.figures}
    result = json.loads((run_folder / "result.json").read_text())
    assert f"Their val RMSE is {result['objective']['value']:.4f}." in captions["curves"]
    assert "train RMSE of the last epoch" in captions["curves"]
    best = report.correlations.loc[report.correlations["r"].abs().idxmax()]
    assert (
        f"component {best['component']} with {best['property']}, {best['r']:+.2f}" in captions["correlations"]
    )


def test_correlations_in_words() -> None:
    table = pd.DataFrame(
        {"property": ["Drama", "War"], "r": [0.28, -0.281], "partial": [0.1, -0.1]}, index=[4, 7]
    )
    assert describe_correlations(table) == "Drama (+0.28) and War (-0.28)"
    assert describe_correlations(table[:0]) == "no significant correlation"
    expected = "Drama drops from +0.28 to +0.10 and War rises from -0.28 to -0.10"
    assert describe_partial_correlations(table) == expected
    assert describe_partial_correlations(table[:1].assign(partial=0.281)) == "Drama stays at +0.28"


def test_enumerations_and_p_values() -> None:
    assert [join_words(words) for words in ([], ["a"], ["a", "b"], ["a", "b", "c"])] == [
        *("", "a", "a and b", "a, b and c")
    ]
    assert [format_p_value(p) for p in (0.0123, 0.0)] == ["0.01", "< 1e-300"]
