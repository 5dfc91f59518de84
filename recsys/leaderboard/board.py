"""The ranked configurations of a leaderboard, with the texts and axes that its figures and headline need."""

from collections.abc import Sequence
from functools import cached_property
from typing import Literal

from recsys.leaderboard.choices import REPEAT_KEYS
from recsys.leaderboard.names import short_names
from recsys.leaderboard.ranking import Configuration, varied_keys
from recsys.leaderboard.runs import RunRecord
from recsys.leaderboard.values import Axis

Cost = Literal["parameters", "seconds"]  # attributes of `Configuration`
MISSING = "\N{EN DASH}"  # the choice of a configuration that does not have the key


class Board:
    """Ranked configurations.

    Args:
        configurations: best first, at least one.

    Attributes:
        best: the first configuration.
        metric: name of the objective.
        direction: "lower is better" or "higher is better".
        keys: the varied keys.
        short: {key: short name}.
    """

    def __init__(self, configurations: Sequence[Configuration]) -> None:
        self.configurations = list(configurations)
        self.best = configurations[0]
        self.metric = self.best.objective.name
        self.direction = f"{'lower' if self.best.objective.sign > 0 else 'higher'} is better"
        self.keys = varied_keys(configurations)
        self.short = short_names(self.keys)

    @property
    def runs(self) -> list[RunRecord]:
        """All completed runs."""
        return [run for own in self.configurations for run in own.runs]

    @cached_property
    def repeat_keys(self) -> list[str]:
        """The keys by which runs of one configuration differ, such as "seed"."""
        return [key for key in REPEAT_KEYS if len({run.choices.get(key) for run in self.runs}) > 1]

    def draw(self, run: RunRecord) -> tuple[str, ...]:
        """Return the choices of `repeat_keys` of a run; its name if there are none."""
        return tuple(run.choices.get(key, MISSING) for key in self.repeat_keys) or (run.name,)

    def choice(self, own: Configuration, key: str) -> str:
        """Return the choice of a configuration for a key."""
        return own.choices.get(key, MISSING)

    def axis(self, key: str) -> Axis:
        """Return the axis of a key."""
        return Axis.of(self.choice(own, key) for own in self.configurations)

    def gap(self, own: Configuration) -> float:
        """Return by how much a configuration is worse than the best one."""
        return own.loss - self.best.loss

    def rank(self, own: Configuration) -> int:
        """Return the rank of a configuration; 1 is the best."""
        return self._ranks[id(own)]

    @cached_property
    def _ranks(self) -> dict[int, int]:
        return {id(own): rank for rank, own in enumerate(self.configurations, 1)}

    def costs(self, name: Cost) -> list[float]:
        """Return a cost of each configuration."""
        return [getattr(own, name) for own in self.configurations]

    def describe(self, own: Configuration, keys: Sequence[str]) -> str:
        """Return the choices of a configuration for some keys, for example "embedding_dim=32, lr=0.01"."""
        return ", ".join(f"{self.short[key]}={self.choice(own, key)}" for key in keys)

    def label(self, own: Configuration) -> str:
        """Return a short text for a point: the choices of at most two keys, the rank if there are more."""
        return (
            ", ".join(self.choice(own, key) for key in self.keys)
            if len(self.keys) <= 2
            else f"#{self.rank(own)}"
        )

    def details(self, own: Configuration) -> list[str]:
        """Return the lines that are shown for a configuration under the mouse pointer."""
        score, deviation = f"{self.metric} {own.mean(self.metric):.4f}", own.deviation(self.metric)
        if deviation is not None:
            score += f" ± {deviation:.4f}, mean ± standard deviation of {len(own.runs)} runs"
        name = f", job {own.runs[0].name}" if len(own.runs) == 1 else ""
        return [
            f"#{self.rank(own)}{name}",
            *(f"{self.short[key]}={self.choice(own, key)}" for key in self.keys),
            score,
            *([f"{own.missing} splits missing"] if own.missing else []),
            f"{own.parameters:,} parameters, {own.seconds:.3g} s",
        ]

    def run_details(self, own: Configuration, run: RunRecord) -> list[str]:
        """Return the lines that are shown for one run of a configuration."""
        return [
            f"#{self.rank(own)}, job {run.name}",
            *(f"{self.short[key]}={self.choice(own, key)}" for key in self.keys),
            *(f"{key}={run.choices.get(key, MISSING)}" for key in self.repeat_keys),
            f"{self.metric} {run.content['metrics'][self.metric]:.4f}",
        ]
