"""Rank the runs of a sweep by their validation metric: `recsys-compare`."""

from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from recsys.command import run_command
from recsys.errors import ConfigError, RunError
from recsys.leaderboard import best_command, rank, read_runs, table
from recsys.output import print_rows
from recsys.runs import RESULT


def main() -> None:
    """`recsys-compare`."""
    run_command("compare", _task)


def compare(folder: Path, form: str = "table", test: bool = False, page: Path | None = None) -> None:
    """Print the leaderboard of all runs under a folder, its failures, and the command of the best run.

    Args:
        folder: a sweep, or any folder with runs below it.
        form: table, json, csv or markdown; the last three print rows alone.
        test: whether to show the test metric of all lines.
        page: where to write the same as an HTML page with pictures; None: nowhere.

    Raises:
        RunError: there are no runs, or they cannot be compared.
    """
    runs = read_runs(folder)
    lines, failed = rank(runs), [run for run in runs if not run.completed]
    rows = table(lines, test)
    if page is not None and lines:
        from recsys.sweeps.page import write_page

        write_page(page, folder.name, lines, rows, failed)
    if form == "markdown":
        print(markdown(rows))
    elif form != "table":
        print_rows(rows, form)  # type: ignore[arg-type]
    elif rows:
        print_rows(rows, "table", f"{folder}: {len(runs)} runs, by val/rmse")
    if form == "table":
        for run in failed:
            print(f"failed: job {run.name}: {run.content['error']}")
        if lines:
            print(f"best: {best_command(lines)}")
        if page is not None and lines:
            print(f"page: {page}")


def markdown(rows: list[dict[str, Any]]) -> str:
    """Rows as a Markdown table."""
    head = list(rows[0]) if rows else []
    lines = [head, ["---"] * len(head), *([str(value) for value in row.values()] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _task(cfg: DictConfig) -> None:
    if cfg.format not in ("table", "json", "csv", "markdown"):
        raise ConfigError(f"format={cfg.format}: choose table, json, csv, markdown")
    compare(find_sweep(cfg.dir), cfg.format, cfg.test, Path(cfg.html) if cfg.html else None)


def find_sweep(folder: str) -> Path:
    """A folder, or "latest" for the newest sweep under ./outputs/sweeps.

    Raises:
        RunError: there is none.
    """
    if folder == "latest":
        results = sorted(
            Path("outputs/sweeps").glob(f"*/*/{RESULT}"), key=lambda file: file.stat().st_mtime_ns
        )
        if not results:
            raise RunError(
                "dir=latest: no sweep with results under ./outputs/sweeps; recsys-train -m makes one"
            )
        return results[-1].parent.parent
    if not Path(folder).is_dir():
        raise RunError(f"dir={folder}: no such folder")
    return Path(folder)


if __name__ == "__main__":
    main()
