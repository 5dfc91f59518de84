"""What sets a job apart from the others of its sweep, in a few words: its name in TensorBoard."""

import re
from collections.abc import Sequence
from pathlib import Path

import yaml
from hydra.core.override_parser.overrides_parser import OverridesParser

from recsys.runs import SWEEP


def swept_keys(sweep: Path) -> list[str]:
    """The keys that a sweep varies, from Hydra's record of it."""
    hydra = yaml.safe_load((sweep / SWEEP).read_text())["hydra"]
    words = OverridesParser.create().parse_overrides(hydra["overrides"]["task"])
    typed = [word.get_key_element() for word in words if word.is_sweep_override()]
    return list(dict.fromkeys([*(hydra["sweeper"].get("params") or {}), *typed]))


def job_name(folder: Path, overrides: Sequence[str]) -> str:
    """The varied keys of a job and its values, fit for a folder: "embedding_dim=32,hidden=128-64".

    Args:
        folder: of the job.
        overrides: of the job, as typed.

    Returns:
        "" for a run that is no part of a sweep.
    """
    if not (folder.parent / SWEEP).is_file():
        return ""
    chosen = dict(word.lstrip("+").split("=", 1) for word in overrides if "=" in word)
    varied = {key: chosen[key] for key in swept_keys(folder.parent) if key in chosen}
    short = [key.rsplit(".", 1)[-1] for key in varied]
    words = []
    for last, (key, value) in zip(short, varied.items(), strict=True):
        plain = re.sub(r"[^\w.+-]+", "-", value).strip("-")
        words.append(f"{last if short.count(last) == 1 else key}={plain}")
    return ",".join(words)[:120]
