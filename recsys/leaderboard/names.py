"""Short names of a sweep's jobs for TensorBoard, made of the keys that the sweep varies."""

import re
from collections.abc import Sequence
from pathlib import Path

from recsys.runs.folder import SWEEP, read_json


def swept_keys(folder: Path) -> list[str]:
    """Return the keys that the sweep of a run folder varies; [] if the run is not part of a sweep."""
    record = folder.parent / SWEEP
    return read_json(record)["swept"] if record.is_file() else []


def job_name(swept: Sequence[str], overrides: Sequence[str]) -> str:
    """Return a name for a job that is valid as a folder name, for example "embedding_dim=32,hidden=128-64".

    Args:
        swept: the keys that the sweep varies.
        overrides: the overrides of the job.

    Returns:
        "" if the job has none of the keys.
    """
    chosen = dict(override.lstrip("+").split("=", 1) for override in overrides if "=" in override)
    varied = {key: chosen[key] for key in swept if key in chosen}
    short = [key.rsplit(".", 1)[-1] for key in varied]
    parts = []
    for last, (key, value) in zip(short, varied.items(), strict=True):
        plain = re.sub(r"[^\w.+-]+", "-", value.strip("[]{}()'\" "))
        parts.append(f"{last if short.count(last) == 1 else key}={plain}")
    return ",".join(parts)[:120]
