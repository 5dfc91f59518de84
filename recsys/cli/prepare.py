"""Download and encode a data set, and print its statistics: `recsys-prepare`."""

from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig

from recsys.cli.app import run_command
from recsys.tables import TextTable, check_format, print_rows, shown
from recsys.terminal import can_print, print_line

if TYPE_CHECKING:
    from recsys.data.dataset import Dataset


def main() -> None:
    """`recsys-prepare`."""
    run_command("prepare", _task)


def describe(dataset: "Dataset") -> dict[str, Any]:
    """Return counts, density and the rating histogram of a data set.

    Returns:
        name, ratings, users, items, density (share of all user-item pairs that are rated), mean, timestamps
        (whether all are known), dropped, sha256, and histogram ({rating rounded to half stars: count}). Data without
        ratings has the key interactions instead, and a histogram of their numbers per user and item.
    """
    import numpy as np

    values, counts = np.unique(np.round(2 * dataset.ratings) / 2, return_counts=True)
    return {
        "name": dataset.name,
        "ratings" if dataset.has_ratings else "interactions": len(dataset),
        "users": len(dataset.user_ids),
        "items": len(dataset.item_ids),
        "density": len(dataset) / (len(dataset.user_ids) * len(dataset.item_ids)),
        "mean": float(dataset.ratings.mean(dtype="float64")),
        "timestamps": dataset.has_timestamps,
        "dropped": dataset.dropped,
        "sha256": dataset.sha256,
        "histogram": {f"{value:g}": int(count) for value, count in zip(values, counts, strict=True)},
    }


def _task(cfg: DictConfig) -> None:
    from hydra.utils import instantiate

    from recsys.config.validate import validate_data
    from recsys.data.load import load_dataset

    check_format(cfg.format)
    validate_data(cfg)
    dataset = load_dataset(instantiate(cfg.data, _convert_="all"))
    statistics = describe(dataset)
    if cfg.format == "json":
        print_rows([statistics], cfg.format)
        return
    histogram = statistics.pop("histogram")
    if cfg.format == "csv":
        columns = {f"rated_{rating}": count for rating, count in histogram.items()}
        print_rows([statistics | columns], cfg.format)
        return
    print_rows([{"statistic": key, "value": shown(value)} for key, value in statistics.items()], "table")
    _print_histogram(histogram, "Ratings" if dataset.has_ratings else "Interactions per user and item")
    _print_cross_table(dataset)


def _print_histogram(histogram: dict[str, int], title: str) -> None:
    highest = max(histogram.values())
    block = "█" if can_print("█") else "#"
    print_line(f"\n{title}")
    for rating, count in histogram.items():
        print_line(f"{rating:>5}  {block * round(40 * count / highest):<40} {count:>10,}")


def _print_cross_table(dataset: "Dataset") -> None:
    import numpy as np

    from recsys.analysis.figures.cross_table import cross_table

    values, users, items = cross_table(dataset, 10)
    missing = "·" if can_print("·") else "."
    kind = "rated" if dataset.has_ratings else "frequent"
    print_line(f"\nThe most {kind} items (rows) and the most active users (columns)")
    table = TextTable(box=None)
    table.add_column("item", max_width=40, no_wrap=True, overflow="ellipsis")
    for id in dataset.user_ids.to_ids(users):
        table.add_column(str(id), is_number=True, overflow="ellipsis")
    for title, row in zip(dataset.item_table["title"].iloc[items], values.T, strict=True):
        table.add_row([title, *(missing if np.isnan(value) else f"{value:.3g}" for value in row)])
    table.print()


if __name__ == "__main__":
    main()
