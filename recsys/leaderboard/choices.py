"""The choices by which runs are compared: overrides of one sweep, or configurations of runs started differently."""

import dataclasses
import json
import logging
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from recsys.leaderboard.runs import RunRecord
from recsys.runs.record import START_KEYS, flattened, recorded_choices, recorded_values

log = logging.getLogger(__name__)

# Runs that differ only by these keys repeat one configuration.
REPEAT_KEYS = ("seed", "split.fold", "split.seed")
# Keys that do not change what is trained, with all keys below them, such as logger.csv.
TECHNICAL_KEYS = (*START_KEYS, "logger", "metrics", "sweep")
# The form of the keys of a record, which may have been edited, and how many of them can become further columns.
KEY, MAX_KEYS = re.compile(r"[\w./@-]{1,200}"), 500
# hardware, callbacks and trainer are compared only if they are overridden: a user may measure their speed.
UNTYPED_TECHNICAL_KEYS = (*TECHNICAL_KEYS, "hardware", "callbacks", "trainer")


def with_comparable_choices(runs: Sequence[RunRecord]) -> list[RunRecord]:
    """Return runs with choices that can be compared.

    The jobs of one sweep have overrides of the same keys, which are their choices. If the keys of the runs differ,
    values are read from the recorded configurations, so that `optimizer.lr=0.001` and the same value by default are
    one configuration. Apart from seed, split and technical keys, runs have equal choices if and only if their
    configurations are equal. If the record of one of them is missing, all keep their overrides. Averages
    of runs always keep theirs.
    """
    averages = [run for run in runs if run.is_average]
    runs = [run for run in runs if not run.is_average]
    typed = [{key for key in run.choices if not is_below(key, TECHNICAL_KEYS)} for run in runs]
    if all(keys == typed[0] for keys in typed):
        return [*runs, *averages]
    keys = [key for key in _union(run.choices for run in runs) if not is_below(key, TECHNICAL_KEYS)]
    configurations = [_Configuration(run) for run in runs]
    if unknown := [run for run, own in zip(runs, configurations, strict=True) if not own.values]:
        log.warning(
            "runs are compared by their overrides, because the configuration of run %s is not known: its file "
            ".hydra/config.yaml is missing or cannot be read",
            unknown[0].name,
        )
        return [*runs, *averages]
    keys += _unexplained(configurations, keys)
    keys = [key for key in keys if not _follows_from_its_group(key, keys, configurations)]
    first: dict[str, dict[str, str]] = {}
    result = []
    for run, own in zip(runs, configurations, strict=True):
        choices = own.choices(keys)
        same = first.setdefault(own.identity, choices)
        repeats = {key: value for key, value in choices.items() if key in REPEAT_KEYS}
        result.append(dataclasses.replace(run, filled=same | repeats))
    return result + averages


def is_below(key: str, parents: Iterable[str]) -> bool:
    """Return whether a key is one of the given keys or below one of them."""
    return any(key == parent or key.startswith(f"{parent}.") for parent in parents)


class _Configuration:
    """The recorded configuration of a run, as text by dotted keys; empty if there is none."""

    def __init__(self, run: RunRecord) -> None:
        self.typed = run.choices
        self.values: dict[str, str] = {}
        self.groups: dict[str, Any] = {}
        if run.folder is not None:
            recorded = recorded_values(run.folder)
            flat = flattened(recorded) if recorded else {}
            self.values = {key: _as_text(value) for key, value in flat.items() if KEY.fullmatch(key)}
            self.groups = recorded_choices(run.folder) if recorded else {}
        ignored = (*REPEAT_KEYS, *UNTYPED_TECHNICAL_KEYS)
        self.compared = {key: value for key, value in self.values.items() if not is_below(key, ignored)}
        extra = {key: value for key, value in self.typed.items() if is_below(key, UNTYPED_TECHNICAL_KEYS)}
        self.identity = json.dumps([self.compared, extra], sort_keys=True)

    def choices(self, keys: Iterable[str]) -> dict[str, str]:
        """Return the values of keys that the configuration has."""
        found = {key: self._choice(key) for key in keys}
        return {key: value for key, value in found.items() if value is not None}

    def _choice(self, key: str) -> str | None:
        if key in self.groups:
            return None if self.groups[key] is None else _as_text(self.groups[key])
        return self.values.get(key, self.typed.get(key))


def _unexplained(configurations: Sequence[_Configuration], keys: Sequence[str]) -> list[str]:
    """Return further keys whose values differ between runs with equal `keys`, for example set in a user's YAML file."""
    groups: dict[tuple[tuple[str, str], ...], list[_Configuration]] = {}
    for own in configurations:
        shown = {key: value for key, value in own.choices(keys).items() if key not in REPEAT_KEYS}
        groups.setdefault(tuple(sorted(shown.items())), []).append(own)
    found = []
    for group in groups.values():
        for key in _union(own.compared for own in group):
            if len({own.compared.get(key) for own in group}) > 1:
                found.append(key)
    return [key for key in dict.fromkeys(found) if key not in keys][:MAX_KEYS]


def _follows_from_its_group(key: str, keys: Sequence[str], configurations: Sequence[_Configuration]) -> bool:
    """Return whether a key such as model._target_ has one value for each value of another key, model."""
    group = key.removesuffix("._target_")
    if group == key or group not in keys:
        return False
    values: dict[str | None, set[str | None]] = {}
    for own in configurations:
        choices = own.choices([group, key])
        values.setdefault(choices.get(group), set()).add(choices.get(key))
    return all(len(targets) == 1 for targets in values.values())


def _union(mappings: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return all keys in the order in which they occur first."""
    return list(dict.fromkeys(key for mapping in mappings for key in mapping))


def _as_text(value: Any) -> str:
    """Return a string, or another value as JSON, in one line."""
    text = value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))
    return " ".join(text.split())[:10_000]
