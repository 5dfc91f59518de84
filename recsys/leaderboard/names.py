"""What sets a job apart from the others of its sweep, in a few words: its name in TensorBoard."""

import re
from collections.abc import Sequence
from pathlib import Path

import yaml
from hydra.core.override_parser.overrides_parser import OverridesParser

from recsys.runs.folder import SWEEP


def swept_keys(folder: Path) -> list[str]:
    """The keys that the sweep of a job's folder varies, from Hydra's record of it; none outside a sweep."""
    record = folder.parent / SWEEP
    if not record.is_file():
        return []
    hydra = yaml.safe_load(record.read_text())["hydra"]
    words = OverridesParser.create().parse_overrides(hydra["overrides"]["task"])
    typed = [word.get_key_element().lstrip("+") for word in words if word.is_sweep_override()]
    return list(dict.fromkeys([*(hydra["sweeper"].get("params") or {}), *typed]))


def job_name(swept: Sequence[str], overrides: Sequence[str]) -> str:
    """The varied keys of a job and its values, fit for a folder: "embedding_dim=32,hidden=128-64".

    Args:
        swept: the keys that the sweep varies.
        overrides: of the job, as typed.

    Returns:
        "" where nothing varies.
    """
    chosen = dict(word.lstrip("+").split("=", 1) for word in overrides if "=" in word)
    varied = {key: chosen[key] for key in swept if key in chosen}
    short = [key.rsplit(".", 1)[-1] for key in varied]
    words = []
    for last, (key, value) in zip(short, varied.items(), strict=True):
        plain = re.sub(r"[^\w.+-]+", "-", value.strip("[]{}()'\" "))
        words.append(f"{last if short.count(last) == 1 else key}={plain}")
    return ",".join(words)[:120]
