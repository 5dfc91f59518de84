"""Measure a finished run again."""

from typing import TYPE_CHECKING, Any

from recsys.errors import ConfigError
from recsys.runs.load import load_run

if TYPE_CHECKING:
    import torch

SUBSETS = ("train", "val", "test")


def evaluate(
    run: str = "latest",
    subset: str = "test",
    checkpoint: str = "best",
    k: int | None = None,
    threshold: float | None = None,
    trust: bool = False,
    device: "torch.device | str" = "cpu",
) -> list[dict[str, Any]]:
    """Return the metrics of a run's scorer and of the baselines, for the same ratings and users.

    Args:
        run: a run folder, or "latest".
        subset: "train", "val" or "test" of the run's own split.
        checkpoint: "best" or "last".
        k: number of recommendations per user; None: as in the run, 0: no ranking metrics.
        threshold: the lowest relevant rating; None: as in the run.
        trust: whether the configuration and the network of the run may name any code; see docs/security.md.
        device: where the scorer computes.

    Returns:
        One row per model: {"model": name, "<subset>/rmse": ..., "<subset>/mae": ..., "<subset>/ndcg@<k>": ...};
        None where a model does not have a metric. The run's own row is last.

    Raises:
        UserError: there is no such run, its data has changed, or a value is not allowed.
    """
    from recsys.config.validate import validate_ranking

    validate_ranking(k, threshold)
    if subset not in SUBSETS:
        raise ConfigError(f"part={subset}: must be one of {', '.join(SUBSETS)}")
    loaded = load_run(run, checkpoint, trust, device)
    if subset == "val" and loaded.checkpoint.is_refit:
        raise ConfigError(
            f"part=val: {loaded.folder} was trained on its validation set (refit=true); result.json has the metrics of "
            "the training before"
        )
    from recsys.evaluation.added_metrics import AddedMetrics
    from recsys.evaluation.baselines import baseline_metrics
    from recsys.evaluation.ranking_metrics import ranking_task
    from recsys.evaluation.summary import measure
    from recsys.runs.ratings import load_ratings

    ratings = load_ratings(loaded, trust)
    own_k, own_threshold = loaded.checkpoint.ranking
    k, threshold = own_k if k is None else k, own_threshold if threshold is None else threshold
    validate_ranking(k, threshold)
    task = ranking_task(ratings.dataset, ratings.split, subset, k, threshold)
    added = AddedMetrics.of(loaded.checkpoint.added_metrics, k)
    rows = baseline_metrics(ratings.dataset, ratings.split, subset, task, added=added)
    own = measure(loaded.checkpoint.scorer, ratings.batches, subset, task, added)
    rows[loaded.checkpoint.model["name"]] = own
    names = list(dict.fromkeys(name for metrics in rows.values() for name in metrics))
    return [{"model": model} | {name: rows[model].get(name) for name in names} for model in rows]
