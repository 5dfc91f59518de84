"""What a trained network has learned, in pictures: `recsys-explore`."""

import math
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig

from recsys.cli.app import run_command
from recsys.errors import ConfigError
from recsys.runs.load import load_run
from recsys.tables import check_format, print_rows

if TYPE_CHECKING:
    from pathlib import Path

    from recsys.analysis.report import Story


def main() -> None:
    """`recsys-explore`."""
    run_command("explore", _task)


def explore(
    run: str = "latest",
    checkpoint: str = "best",
    top: int = 1000,
    components: int = 5,
    axes: Sequence[int] = (1, 2),
) -> "tuple[Story, Path]":
    """Draw what a run's network has learned, and leave it in the run's folder.

    Args:
        run: a run folder, or "latest".
        checkpoint: "best" or "last".
        top: how many of the most-rated items.
        components: how many principal components of their vectors.
        axes: the two components that span the map.

    Returns:
        What is told, and the page that tells it.

    Raises:
        UserError: a value cannot work, there is no such run, or its data are not what it was trained on.
    """
    for name, value in (("top", top), ("components", components)):
        if not _counts(value):
            raise ConfigError(f"{name}={value}: should be a whole number above 0")
    given = list(axes) if isinstance(axes, Sequence) else [axes]
    if len(given) != 2 or given[0] == given[1] or not all(map(_counts, given)):
        raise ConfigError(f"map={given}: should be two components, such as [1,2]")
    opened = load_run(run, checkpoint)
    from recsys.analysis.publish import publish
    from recsys.analysis.report import tell

    story = tell(opened, top, components, given)
    return story, publish(story, opened)


def _counts(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def _task(cfg: DictConfig) -> None:
    check_format(cfg.format)
    story, page = explore(cfg.run, cfg.checkpoint, cfg.top, cfg.components, cfg.map)
    if cfg.format != "table":
        print_rows(_all(story), cfg.format)
    elif rows := _short(story):
        print_rows(rows, "table", "What the components go with: the strongest correlations")
    elif len(story.correlations):
        print("No correlation of a component is beyond chance.")
    for line in (*story.notes, f"page: {page}", f"watch: tensorboard --logdir {page.parent}"):
        print(line, file=sys.stdout if cfg.format == "table" else sys.stderr)


def _short(story: "Story") -> list[dict[str, Any]]:
    """The three strongest correlations of each component."""
    from recsys.analysis.report import small, strongest

    table = story.correlations
    return [
        {
            "component": line["component"],
            "goes with": line["property"],
            "items": line["items"],
            "correlation": f"{line['r']:+.2f}",
            "95 % interval": f"{line['low']:+.2f} to {line['high']:+.2f}",
            "p": small(line["p"]),
            "at equal mean rating": "" if math.isnan(line["partial"]) else f"{line['partial']:+.2f}",
        }
        for component in (table["component"].unique() if len(table) else ())
        for line in strongest(table, int(component)).to_dict("records")
    ]


def _all(story: "Story") -> list[dict[str, Any]]:
    """Every correlation; None where there is no number."""
    table = story.correlations.astype(object)
    return table.where(table.notna(), None).to_dict("records")  # type: ignore[return-value]


if __name__ == "__main__":
    main()
