"""Report what a trained network has learned: `recsys-explore`."""

import shlex
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig

from recsys.cli.app import run_command
from recsys.cli.values import require_booleans, require_groups
from recsys.config.hardware import device_for
from recsys.errors import ConfigError
from recsys.runs.load import load_run
from recsys.tables import check_format, print_rows
from recsys.terminal import print_line

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd
    import torch

    from recsys.analysis.report import Report


def main() -> None:
    """`recsys-explore`."""
    run_command("explore", _task, first_key="run")


def explore(
    run: str = "latest",
    checkpoint: str = "best",
    top: int = 1000,
    components: int = 5,
    axes: Sequence[int] = (1, 2),
    trust: bool = False,
    device: "torch.device | str" = "cpu",
) -> "tuple[Report, Path]":
    """Build the report of a run and write it to the run folder.

    Args:
        run: a run folder, or "latest".
        checkpoint: "best" or "last".
        top: number of most-rated items to analyse.
        components: number of principal components of their vectors.
        axes: the horizontal and the vertical component of the map.
        trust: whether the configuration and the network of the run may name any code; see docs/security.md.
        device: where the scorer computes.

    Returns:
        The report and the path of its HTML page.

    Raises:
        UserError: a value is invalid, the run does not exist, or its data has changed since training.
    """
    for key, value in (("top", top), ("components", components)):
        if not _is_positive_int(value):
            raise ConfigError(f"{key}={value}: should be a whole number above 0")
    given = list(axes) if isinstance(axes, Sequence) else [axes]
    if len(given) != 2 or given[0] == given[1] or not all(map(_is_positive_int, given)):
        raise ConfigError(f"map={given}: should be two different components, such as [1,2]")
    loaded = load_run(run, checkpoint, trust, device)
    from recsys.analysis.publish import publish
    from recsys.analysis.report import build_report
    from recsys.runs.ratings import load_ratings

    report = build_report(loaded, load_ratings(loaded, trust), top, components, given)
    return report, publish(report, loaded)


def _is_positive_int(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def _task(cfg: DictConfig) -> None:
    check_format(cfg.format)
    require_booleans(cfg, "trust")
    require_groups(cfg, "hardware")
    device = device_for(cfg.hardware)
    report, page = explore(
        cfg.run, cfg.checkpoint, cfg.top, cfg.components, cfg.map, cfg.trust is True, device
    )
    if cfg.format != "table":
        print_rows(_all_rows(report.correlations), cfg.format)
    elif rows := _strongest_rows(report.correlations, report.control):
        print_rows(rows, "table", "Strongest correlations of each component")
    elif len(report.correlations):
        print_line("No correlation of a component is significant.")
    for line in (
        *report.notes,
        f"report: {page}",
        f"watch: tensorboard --logdir {shlex.quote(str(page.parent))}",
    ):
        print_line(line, is_error=cfg.format != "table")


def _strongest_rows(correlations: "pd.DataFrame", control: str) -> list[dict[str, Any]]:
    """Return the three strongest significant correlations of each component, as text."""
    from recsys.analysis.components import strongest
    from recsys.analysis.text import format_correlation, format_p_value

    return [
        {
            "component": row["component"],
            "property": row["property"],
            "items": row["items"],
            "correlation": f"{row['r']:+.2f}",
            "95 % interval": f"{row['low']:+.2f} to {row['high']:+.2f}",
            "p": format_p_value(row["p"]),
            f"controlling for {control}": format_correlation(row["partial"]),
        }
        for component in (correlations["component"].unique() if len(correlations) else ())
        for row in strongest(correlations, int(component)).to_dict("records")
    ]


def _all_rows(correlations: "pd.DataFrame") -> list[dict[str, Any]]:
    """Return every correlation; NaN becomes None."""
    table = correlations.astype(object)
    return table.where(table.notna(), None).to_dict("records")  # type: ignore[return-value]


if __name__ == "__main__":
    main()
