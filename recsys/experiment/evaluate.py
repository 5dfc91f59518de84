"""Measure a finished run again."""

from typing import Any

from recsys.errors import ConfigError
from recsys.runs.load import load_run

PARTS = ("train", "val", "test")
K = 10  # of lists, for a run that was trained before there were any


def evaluate(
    run: str = "latest",
    part: str = "test",
    checkpoint: str = "best",
    k: int | None = None,
    threshold: float | None = None,
) -> list[dict[str, Any]]:
    """Metrics of a run's network and of the baselines on the same pairs and for the same users.

    Args:
        run: a run folder, or "latest".
        part: "train", "val" or "test" of the run's own split.
        checkpoint: "best" or "last".
        k: how many items a list has; None: as the run has them, 0: no lists.
        threshold: the lowest rating that is relevant; None: the run's own.

    Returns:
        One row per model: {"model": name, "<part>/rmse": ..., "<part>/mae": ..., "<part>/ndcg@<k>": ..., ...}
        with None for what it cannot be measured by; the run's own row is last.

    Raises:
        UserError: there is no such run, or its data are not what it was trained on, or a value cannot be.
    """
    from recsys.config.validate import validate_ranking

    validate_ranking(k, threshold)
    if part not in PARTS:
        raise ConfigError(f"part={part}: choose {', '.join(PARTS)}")
    opened = load_run(run, checkpoint)
    from recsys.evaluation.baselines import baseline_metrics
    from recsys.evaluation.ranking_metrics import ranking_task
    from recsys.evaluation.rating_metrics import measure

    was = opened.trained.config.get("ranking") or {"k": K, "threshold": None}
    k, threshold = was["k"] if k is None else k, was["threshold"] if threshold is None else threshold
    task = ranking_task(opened.dataset, opened.split, part, k, threshold)
    rows = baseline_metrics(opened.dataset, opened.split, part, task)
    network = opened.trained.network
    own = measure(network, opened.batches(part)).metrics(part) if network.rates else {}
    rows[opened.result["model"]["name"]] = own | (task.measure(network) if task else {})
    names = list(dict.fromkeys(name for metrics in rows.values() for name in metrics))
    return [{"model": model} | {name: rows[model].get(name) for name in names} for model in rows]
