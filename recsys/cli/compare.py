"""Rank the runs of a sweep by their validation metric: the command `recsys-compare`."""

from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from recsys.cli.app import run_command
from recsys.cli.values import require_booleans
from recsys.errors import ConfigError, RunError
from recsys.leaderboard.report import compare
from recsys.paths import expanded
from recsys.runs.folder import RESULT, newest_file
from recsys.tables import check_format


def main() -> None:
    """Run `recsys-compare`."""
    run_command("compare", _task, first_key="dir")


def find_sweep(folder: str) -> Path:
    """Return the folder of a sweep.

    Args:
        folder: its path, or "latest" for the newest sweep with results under ./outputs/sweeps.

    Raises:
        RunError: there is no such sweep.
    """
    if folder == "latest":
        result = newest_file(Path("outputs/sweeps").glob(f"*/*/{RESULT}"))
        if result is None:
            raise RunError(
                "dir=latest: no sweep with results under ./outputs/sweeps; start one with recsys-train -m"
            )
        return result.parent.parent
    if not expanded(folder).is_dir():
        raise RunError(f"dir={folder}: no such folder")
    return expanded(folder)


def _task(cfg: DictConfig) -> None:
    check_format(cfg.format, "markdown")
    require_booleans(cfg, "test")
    page = None if cfg.html is None else expanded(cfg.html)
    if (
        page is not None and page.suffix != ".html"
    ):  # other files of a run must not be replaced by a typing error
        raise ConfigError(f"html={cfg.html}: must end with .html")
    given = list(cfg.dir) if OmegaConf.is_list(cfg.dir) else [cfg.dir]
    if not given:
        raise ConfigError("dir=[]: must be a folder, or a list of folders: dir=[outputs/a,outputs/b]")
    has_finished_run = compare([find_sweep(str(folder)) for folder in given], cfg.format, cfg.test, page)
    if page is not None and not has_finished_run:
        raise RunError(f"html={cfg.html}: not written, because no run has finished")


if __name__ == "__main__":
    main()
