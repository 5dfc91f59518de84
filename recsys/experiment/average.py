"""Average finished runs of one split, such as runs with several seeds, into a new run."""

import time
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from recsys.errors import ConfigError, RunError
from recsys.leaderboard.runs import RunRecord, read_runs
from recsys.paths import expanded
from recsys.runs.folder import RESULT, Run, checkpoint_in, find_run, write_json
from recsys.runs.outcome import Loaded, read_record
from recsys.runs.start import open_run, write_errors
from recsys.runs.trust import Trust

if TYPE_CHECKING:
    import torch


def average(
    runs: Sequence[str | Path],
    folder: str | Path | None = None,
    overrides: Sequence[str] | None = None,
    trust: Trust = False,
    device: "torch.device | str" = "cpu",
) -> Run:
    """Create a run that predicts the mean of the predictions of other runs.

    All runs have equal weight; each contributes its best checkpoint. result.json has the same keys as that of a trained
    run, and `members` with the folder and seed of each. Its epochs are the sum over the members; its seconds include
    the averaging. Metrics are measured on the average. Only if the members were trained on their validation sets
    (refit=true), the validation metrics are the means of the members' validation metrics. The run folders of the
    members are not modified.

    Args:
        runs: folders of finished runs that have the same split and networks with equal arguments.
        folder: the new run folder; None: a new one under ./outputs/runs.
        overrides: those of the command line, recorded in the run folder.
        trust: whether the configurations and networks of the runs may name any code, or which names; see
            docs/security.md.
        device: where the average is measured.

    Raises:
        UserError: there are fewer than two runs, they cannot be averaged, or their data has changed. In these
            cases nothing is written.
    """
    start = time.perf_counter()
    chosen = None if folder is None else expanded(folder).absolute()
    distinct: dict[Path, Path] = {}
    for found in (find_run(str(run)) for run in runs):
        distinct.setdefault(found.resolve(), found)  # a link to a run is the same run
    folders = list(distinct.values())
    if len(folders) < 2:
        given = ", ".join(map(str, folders)) or "none"
        raise RunError(f"averaging needs at least two finished runs; given: {given}")
    members = [RunRecord(str(member), (), read_record(member / RESULT, Loaded)) for member in folders]
    _check_comparable(members)
    for member in folders:
        if chosen is not None and chosen.resolve().is_relative_to(member.resolve()):
            raise ConfigError(
                f"output_dir={folder}: is inside {member}, which is averaged; choose another folder"
            )

    from recsys.data.biases import fit_biases
    from recsys.evaluation.added_metrics import AddedMetrics
    from recsys.evaluation.ranking_metrics import ranking_tasks
    from recsys.evaluation.summary import describe_outcome
    from recsys.runs.checkpoint import load_checkpoint
    from recsys.runs.data import RunData, save_data
    from recsys.runs.join import join_checkpoints
    from recsys.runs.load import load_run
    from recsys.runs.ratings import load_ratings
    from recsys.runs.torch_file import write_torch_file

    if (epochs := sum(member.content["time"]["epochs"] for member in members)) >= 2**63:
        raise RunError(f"the runs cannot be averaged: time.epochs is {epochs:,} in total")
    content = join_checkpoints([checkpoint_in(member) for member in folders], trust)
    first = load_run(str(folders[0]), trust=trust)
    ratings = load_ratings(first, trust)
    config = {"runs": [str(member.absolute()) for member in folders]}
    with open_run(chosen, config, overrides or []) as opened, write_errors(opened):
        path = checkpoint_in(opened)
        write_torch_file(content, path)
        checkpoint = load_checkpoint(path, trust)
        checkpoint.scorer.to(device)
        tasks = ranking_tasks(ratings.dataset, ratings.split, *checkpoint.ranking)
        biases = fit_biases(ratings.dataset, ratings.split.train)
        outcome = describe_outcome(
            checkpoint,
            ratings.dataset,
            ratings.split,
            f"{ratings.split_method.describe()} {first.checkpoint.data[1]}",  # of the split before refit
            members[0].objective,
            ratings.batches,
            tasks,
            biases,
            _mean_metrics(members) if checkpoint.is_refit else None,
            AddedMetrics.of(checkpoint.added_metrics, checkpoint.ranking[0]),
        )
        save_data(RunData.of(ratings.dataset, ratings.split, biases), opened, checkpoint.data)
        times = [member.content["time"] for member in members]
        result: dict[str, Any] = {
            "status": "completed",
            "seed": members[0].content["seed"],
            "overrides": list(overrides or []),
            "members": [{"folder": member.name, "seed": member.content["seed"]} for member in members],
            **outcome,
            "time": {
                "epochs": sum(member["epochs"] for member in times),
                "seconds": round(sum(member["seconds"] for member in times) + time.perf_counter() - start, 3),
                "train_ratings_per_second": 0.0,
            },
            "refit": {"epochs": checkpoint.epoch + 1, "ratings": len(ratings.split.train)}
            if checkpoint.is_refit
            else None,
        }
        try:
            Loaded.model_validate(result)
        except ValidationError as error:  # from values of the members
            where = ".".join(map(str, error.errors()[0]["loc"]))
            raise RunError(f"the runs cannot be averaged: {where}: {error.errors()[0]['msg']}") from None
        write_json(opened / RESULT, result)
    return Run(opened, result["metrics"], result)


def members_in(sweep: Path) -> list[Path]:
    """Return the finished runs in a sweep folder, without those that are averages themselves."""
    return [sweep / run.name for run in read_runs(sweep) if run.completed and not run.is_average]


def _mean_metrics(members: Sequence[RunRecord]) -> dict[str, float]:
    """Return the means of the members' validation metrics."""
    metrics = [member.content["metrics"] for member in members]
    names = [
        name for name in metrics[0] if name.startswith("val/") and all(name in other for other in metrics)
    ]
    return {name: fmean(one[name] for one in metrics) for name in names}


def _check_comparable(members: Sequence[RunRecord]) -> None:
    first, *others = members
    for other in others:
        if other.fingerprint != first.fingerprint:
            raise RunError(
                f"{first.name} and {other.name} cannot be averaged: they have different splits "
                f"({first.origin} and {other.origin}), so one may have trained on the other's test set"
            )
        if other.objective != first.objective:
            raise RunError(
                f"{first.name} and {other.name} cannot be averaged: they have different objectives "
                f"({first.objective.name} and {other.objective.name})"
            )
