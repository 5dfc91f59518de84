"""Average finished runs of one split, such as those of several seeds: `recsys-average`."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from recsys.errors import ConfigError, RunError
from recsys.leaderboard.table import Run
from recsys.runs.folder import (
    RESULT,
    checkpoint_in,
    find_run,
    new_folder,
    read_json,
    write_json,
)


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

    from recsys.atomic import atomic_write
    from recsys.evaluation.ranking_metrics import ranking_tasks
    from recsys.evaluation.summary import describe_outcome
    from recsys.runs.checkpoint import join_checkpoints, load_checkpoint
    from recsys.runs.load import load_run

    content = join_checkpoints([checkpoint_in(member) for member in members])
    opened = load_run(str(members[0]))
    folder = folder or Path(new_folder("runs"))
    path = checkpoint_in(folder)
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path) as temporary:
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
