"""Write result.json and failed.json without training, for tests of the leaderboard."""

import json
from pathlib import Path
from typing import Any


def write_run(
    folder: Path,
    overrides: list[str],
    val: float,
    test: float = 0.9,
    split: str = "random(seed=0) aa",
    parameters: int = 10,
    names: tuple[str, str] = ("ml", "net"),
) -> None:
    """Write the result.json of a run that was selected by val/rmse; `names` are those of the data and the model."""
    seeds = [int(override.removeprefix("seed=")) for override in overrides if override.startswith("seed=")]
    content = {
        "status": "completed",
        "seed": seeds[0] if seeds else 1,
        "overrides": overrides,
        "objective": {"name": "val/rmse", "mode": "min", "value": val, "epoch": 3},
        "metrics": {"val/rmse": val, "test/rmse": test},
        "data": {"name": names[0], "sha256": "d", "split": split, "train": 80, "val": 10, "test": 20},
        "model": {"name": names[1], "parameters": parameters},
        "time": {"epochs": 3, "seconds": 2.0},
    }
    _write(folder / "result.json", content)


def write_ranking_run(folder: Path, overrides: list[str], ndcg: float, rmse: float | None = None) -> None:
    """Write the result.json of a run that measured NDCG: selected by RMSE if there is one, by NDCG otherwise."""
    write_run(folder, overrides, rmse or 0.0)
    content = json.loads((folder / "result.json").read_text())
    if rmse is None:
        content["objective"] = {"name": "val/ndcg@10", "mode": "max", "value": ndcg, "epoch": 3}
        content["metrics"] = {}
    content["metrics"] |= {"val/ndcg@10": ndcg, "test/ndcg@10": ndcg - 0.01}
    _write(folder / "result.json", content)


def write_failed(
    folder: Path, error: str, overrides: list[str] | None = None, status: str = "failed"
) -> None:
    """Write the failed.json of a run."""
    content = {"status": status, "error": error, "traceback": "", "overrides": overrides or []}
    _write(folder / "failed.json", content)


def write_folds(folder: Path) -> None:
    """Write runs of three embedding sizes by three folds; the last fold of the last size is missing."""
    values = {4: [0.90, 0.92, 0.94], 8: [0.91, 0.94, 0.97], 16: [0.93, 0.96]}
    for dim, folds in values.items():
        for fold, value in reversed(list(enumerate(folds))) if dim == 8 else enumerate(folds):
            overrides = [f"model.embedding_dim={dim}", f"split.fold={fold}"]
            split = f"kfold(...) {fold}"
            write_run(folder / f"{dim}-{fold}", overrides, value, value - fold / 100, split)


def _write(file: Path, content: dict[str, Any]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(content))
