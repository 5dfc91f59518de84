"""Short names of a sweep's jobs and of the keys that it varies."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from recsys.runs.folder import SWEEP
from recsys.runs.outcome import Sweep, read_record


def swept_keys(folder: Path) -> list[str]:
    """Return the keys that the sweep of a run folder varies; [] if the run is not part of a sweep.

    Raises:
        RunError: the record of the sweep is malformed.
    """
    record = folder.parent / SWEEP
    return read_record(record, Sweep)["swept"] if record.is_file() else []


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
    parts = []
    for key, short in short_names(list(varied)).items():
        plain = re.sub(r"[^\w.+-]+", "-", varied[key].strip("[]{}()'\" "))
        parts.append(f"{short}={plain}")
    # A key of a stranger's run may have slashes, too.
    return re.sub(r"[^\w.+=,-]", "-", ",".join(parts))[:120]


def short_names(keys: Sequence[str], fixed: Mapping[str, str] = MappingProxyType({})) -> dict[str, str]:
    """Return each key without its prefix if that is unambiguous, else the whole key.

    Args:
        keys: different keys.
        fixed: names of certain keys.
    """
    short = [fixed.get(key, key.rsplit(".", 1)[-1]) for key in keys]
    return {key: name if short.count(name) == 1 else key for key, name in zip(keys, short, strict=True)}
