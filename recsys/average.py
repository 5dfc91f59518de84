"""Average finished runs of one split, such as those of several seeds: `recsys-average`."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, ListConfig

from recsys.command import run_command
from recsys.compare import find_sweep
from recsys.errors import ConfigError, RunError, UserError
from recsys.runs import (
    RESULT,
    checkpoint_in,
    find_run,
    forget_claimed,
    new_folder,
    only_run_in,
    read_json,
    write_json,
)
from recsys.sweeps.leaderboard import Run, read_runs


def main() -> None:
    """`recsys-average`."""
    run_command("average", _task)


def average(
    runs: Sequence[str | Path], folder: Path | None = None, overrides: list[str] | None = None
) -> dict[str, Any]:
    """Leave a run whose ratings are the mean of those of other runs, each by its best weights.

    Its result.json has what that of a trained run has, measured anew, and the members' folders and seeds;
    epochs and seconds are those of all members together. Nothing is written into their folders.

    Args:
        runs: folders of finished runs with networks of one kind, which share their split.
        folder: where checkpoints and result.json go; None: a new one under ./outputs/runs.
        overrides: what the user typed, for the record.

    Returns:
        The content of result.json.

    Raises:
        UserError: there are fewer than two runs, or they have no average, or their data have changed. Nothing
            has been written then.
    """
    start = time.perf_counter()
    members = list(dict.fromkeys(find_run(str(run)) for run in runs))
    if len(members) < 2:
        found = ", ".join(map(str, members)) or "none"
        raise RunError(f"an average takes two finished runs at least, and here is: {found}")
    results = [read_json(member / RESULT) for member in members]
    first, *others = [Run(str(of), (), result) for of, result in zip(members, results, strict=True)]
    for other in others:
        if other.fingerprint != first.fingerprint:
            raise RunError(
                f"{first.name} and {other.name} do not share their split ({first.origin}; {other.origin}): "
                "what the one is tested on, the other may have learned from"
            )
    for member in members:
        if folder is not None and folder.resolve().is_relative_to(member.resolve()):
            raise ConfigError(f"output_dir={folder}: lies in {member}, which is averaged")

    import torch

    from recsys.checkpoint import join_checkpoints, load_checkpoint
    from recsys.evaluation.ranking_metrics import ranking_tasks
    from recsys.files import written_whole
    from recsys.reopen import reopen
    from recsys.report import describe_outcome

    content = join_checkpoints([checkpoint_in(member) for member in members])
    opened = reopen(str(members[0]))
    folder = folder or Path(new_folder("runs"))
    path = checkpoint_in(folder)
    path.parent.mkdir(parents=True, exist_ok=True)
    with written_whole(path) as temporary:
        torch.save(content, temporary)
    trained = load_checkpoint(path)
    tasks = ranking_tasks(opened.dataset, opened.split, trained.config)
    times = [result["time"] for result in results]
    result = {
        "status": "completed",
        "seed": results[0]["seed"],
        "overrides": overrides or [],
        "members": [{"folder": run.name, "seed": run.content["seed"]} for run in (first, *others)],
        **describe_outcome(trained, opened.dataset, opened.split, opened.batches, tasks),
        "time": {
            "epochs": sum(of["epochs"] for of in times),
            "seconds": round(sum(of["seconds"] for of in times) + time.perf_counter() - start, 3),
            "train_ratings_per_second": 0.0,
        },
    }
    write_json(folder / RESULT, result)
    return result


def members_in(sweep: Path) -> list[Path]:
    """The finished runs under a folder, without those that are averages of others."""
    runs = read_runs(sweep)
    return [sweep / run.name for run in runs if run.completed and not run.is_average]


def _task(cfg: DictConfig) -> None:
    hydra = HydraConfig.get()
    folder, overrides = Path(hydra.runtime.output_dir), list(hydra.overrides.task)
    try:
        if cfg.runs is None:
            sweep = find_sweep(str(cfg.dir))
            runs = members_in(sweep)
            if cfg.dir == "latest":  # another one, by the time that somebody repeats the command
                overrides = [*(word for word in overrides if not word.startswith("dir=")), f"dir={sweep}"]
        elif not isinstance(cfg.runs, ListConfig):
            raise ConfigError(f"runs={cfg.runs}: a list of folders expected, 'runs=[outputs/runs/a,...]'")
        elif cfg.dir != "latest":
            raise ConfigError(f"dir={cfg.dir} and runs={cfg.runs}: one of them")
        else:
            runs = [Path(str(run)) for run in cfg.runs]
        with only_run_in(folder):
            result = average(runs, folder, overrides)
    except UserError:  # nothing has been written
        forget_claimed()
        raise
    from recsys.report import print_summary

    print_summary(result, folder)


if __name__ == "__main__":
    main()
