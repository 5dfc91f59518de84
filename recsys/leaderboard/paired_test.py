"""Is one configuration worse than another, or was it luck? A paired t test over the draws that both have.

What the p-value covers depends on what was repeated:

* Several splits of the same data: the luck of which rows were trained and tested on. Training parts overlap,
  so that the differences depend on each other, and the ordinary t would take their mean for surer than it
  is. The corrected resampled t of Nadeau and Bengio (2003, Inference for the Generalization Error, Machine
  Learning 52) allows for it: t = mean(d) / sqrt((1/J + n_test/n_train) var(d)) with J - 1 degrees of freedom,
  where J is the number of splits. n_test counts the rows that the metric is of: for val/rmse, validation.
  Seeds within a split are averaged first: they are no further splits.
* Several seeds of one split: the luck of initialisation, shuffling and dropout alone, with the ordinary t.
  Nothing is known of how the difference would be on another split.
"""

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

Over = Literal["splits", "seeds"]

COVERS: dict[Over, str] = {
    "splits": "two-sided, the corrected t of Nadeau and Bengio, since training parts overlap",
    "seeds": "two-sided, the ordinary paired t: the luck of initialisation and shuffling, not of the split",
}
# Metrics are of order one and sums in float64: differences that vary by less vary by rounding.
ROUNDING = 1e-12


@dataclass(frozen=True)
class Repeat:
    """A metric of one run, and of which draw it is.

    Attributes:
        split: fingerprint of the data and of the rows in each part.
        seed: of initialisation, shuffling and dropout.
        ratio: rows that the metric was measured on, per row of training.
        value: of the metric.
    """

    split: str
    seed: int
    ratio: float
    value: float


@dataclass(frozen=True)
class PairedTest:
    """One configuration against another.

    Attributes:
        difference: mean of the first one's metric minus the second one's.
        p: of a mean at least that far from 0 if there were no difference, two-sided; None where all
            differences are the same, since nothing is known then of how they vary.
        pairs: how many differences it rests on.
        over: what these are differences over.
    """

    difference: float
    p: float | None
    pairs: int
    over: Over


def paired_test(first: Iterable[Repeat], second: Iterable[Repeat]) -> PairedTest | None:
    """Test over the draws (split and seed) that both have; others are left out.

    Runs of the same draw are averaged: repeating a run is no further evidence.

    Returns:
        None for fewer than two pairs.
    """
    first = list(first)
    ours, theirs = _by_draw(first), _by_draw(second)
    differences: dict[str, list[float]] = {}
    for (split, seed), value in ours.items():
        if (split, seed) in theirs:
            differences.setdefault(split, []).append(value - theirs[split, seed])
    over: Over = "splits" if len(differences) > 1 else "seeds"
    if over == "splits":
        pairs = [statistics.fmean(of_split) for of_split in differences.values()]
        ratios = {repeat.split: repeat.ratio for repeat in first}
        ratio = statistics.fmean(ratios[split] for split in differences)  # all but equal
    else:
        pairs, ratio = [value for of_split in differences.values() for value in of_split], 0.0
    if len(pairs) < 2:
        return None
    return PairedTest(statistics.fmean(pairs), p_value(pairs, ratio), len(pairs), over)


def p_value(differences: Sequence[float], ratio: float) -> float | None:
    """Two-sided p of the corrected resampled t.

    Args:
        differences: one per pair, at least two.
        ratio: evaluated rows per row of training; 0 makes it the ordinary paired t.

    Returns:
        None where the differences do not vary.
    """
    from scipy.special import stdtr  # Student's t; only a leaderboard with repeats needs it

    deviation = statistics.stdev(differences)
    if deviation <= ROUNDING:
        return None
    count = len(differences)
    t = statistics.fmean(differences) / (deviation * math.sqrt(1 / count + ratio))
    return float(2 * stdtr(count - 1, -abs(t)))


def explain(tests: Iterable[PairedTest | None]) -> list[str]:
    """What the columns of a leaderboard mean, in sentences; none where there is no test."""
    there = [test for test in tests if test]
    if not there:
        return []
    counts: dict[Over, set[int]] = {}
    for test in there:
        counts.setdefault(test.over, set()).add(test.pairs)
    told = [
        "difference: to the first line, over runs of equal split and seed; p is not corrected for many lines"
    ]
    for over, pairs in counts.items():
        told.append(f"p over {f'{min(pairs)} ' if len(pairs) == 1 else ''}{over}: {COVERS[over]}")
    if any(test.p is None for test in there):
        told.append("no p: the differences of that line are all the same, and tell nothing of luck")
    return told


def _by_draw(repeats: Iterable[Repeat]) -> dict[tuple[str, int], float]:
    values: dict[tuple[str, int], list[float]] = {}
    for repeat in repeats:
        values.setdefault((repeat.split, repeat.seed), []).append(repeat.value)
    return {draw: statistics.fmean(of_draw) for draw, of_draw in values.items()}
