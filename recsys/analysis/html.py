"""The HTML page of a report."""

from collections.abc import Sequence
from itertools import groupby
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from recsys.analysis.report import Report
from recsys.analysis.text import format_correlation, format_p_value
from recsys.terminal import without_control_characters


def render_report(report: Report, svgs: Sequence[str], result: dict[str, Any]) -> str:
    """Return the report as one HTML page without scripts and external files.

    Everything is escaped except the SVG figures.

    Args:
        report: the report.
        svgs: its figures as <svg> elements.
        result: the content of the run's result.json.
    """
    environment = Environment(
        loader=PackageLoader("recsys.analysis"),
        autoescape=True,
        finalize=without_control_characters,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    figures = [
        {"section": figure.section, "name": figure.name, "caption": figure.caption, "svg": Markup(svg)}
        for figure, svg in zip(report.figures, svgs, strict=True)
    ]
    return environment.get_template("report.html").render(
        title=f"{result['model']['name']} on {result['data']['name']}",
        summary=_summary(result),
        notes=report.notes,
        sections=[(name, list(group)) for name, group in groupby(figures, lambda figure: figure["section"])],
        correlations=_correlations(report),
        control=report.control,
    )


def _summary(result: dict[str, Any]) -> str:
    """Compare the network with the baselines by the test metric that matches the objective."""
    models = {**result["baselines"], result["model"]["name"]: result["metrics"]}
    metric = result["objective"]["name"].replace("val/", "test/")
    values = ", ".join(
        f"{name} {metrics[metric]:.4f}" for name, metrics in models.items() if metric in metrics
    )
    rows = "ratings" if result["data"].get("has_ratings", True) else "interactions"
    return f"{result['data']['test']:,} test {rows}. {metric.split('/')[1].upper()}: {values}."


def _correlations(report: Report) -> list[dict[str, Any]]:
    """Return the rows of the table of all correlations, as text."""
    return [
        {
            "component": row["component"],
            "property": row["property"],
            "items": f"{row['items']:,}",
            **{name: format_correlation(row[name]) for name in ("r", "low", "high")},
            "p": format_p_value(row["p"]),
            "partial": format_correlation(row["partial"]),
        }
        for row in report.correlations.to_dict("records")
    ]
