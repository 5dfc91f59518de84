"""Paired t tests between configurations, over the draws (split and seed) that both have.

What the p-value covers depends on what was repeated:

* Several splits of the same data: the p-value covers the choice of training and test rows. The training sets
  overlap, so the differences are not independent, and the ordinary t test would underestimate their variance. The
  corrected resampled t test of Nadeau and Bengio (2003, Inference for the Generalization Error, Machine Learning
  52) allows for it: t = mean(d) / sqrt((1/J + n_test/n_train) var(d)) with J - 1 degrees of freedom, where J is the
  number of splits. n_test is the number of rows that the metric is measured on: for val/rmse, the validation set.
  Seeds of the same split are averaged first, because they are not additional splits.
* Several seeds of one split: the p-value covers initialisation, shuffling and dropout only, with the ordinary
  paired t test. It does not say how large the difference would be on another split.
"""

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

Over = Literal["splits", "seeds"]

COVERS: dict[Over, str] = {
    "splits": "two-sided corrected t test of Nadeau and Bengio, because the training sets overlap",
    "seeds": "two-sided paired t test; it covers initialisation and shuffling, but not the choice of the split",
}
# Metrics are of order one and accumulated in float64: a smaller deviation of differences is a rounding error.
ROUNDING = 1e-12


@dataclass(frozen=True)
class Repeat:
    """A metric of one run, and the draw that the run repeats.

    Attributes:
        split: fingerprint of the data and the split.
        seed: seed of initialisation, shuffling and dropout.
        ratio: number of rows that the metric was measured on, divided by the number of training rows.
        value: the metric.
    """

    split: str
    seed: int
    ratio: float
    value: float


@dataclass(frozen=True)
class PairedTest:
    """The comparison of two configurations.

    Attributes:
        difference: mean of the first configuration's metric minus the second's.
        p: two-sided p-value; None if all differences are equal, because their variance is unknown then.
        pairs: number of differences.
        over: whether the differences are between splits or between seeds of one split.
    """

    difference: float
    p: float | None
    pairs: int
    over: Over


def paired_test(first: Iterable[Repeat], second: Iterable[Repeat]) -> PairedTest | None:
    """Compare two configurations over the draws (split and seed) that both have.

    Runs of the same draw are averaged, because they are not independent.

    Returns:
        The test; None if there are fewer than two pairs.
    """
    first = list(first)
    first_values, second_values = _mean_by_draw(first), _mean_by_draw(second)
    differences: dict[str, list[float]] = {}
    for (split, seed), value in first_values.items():
        if (split, seed) in second_values:
            differences.setdefault(split, []).append(value - second_values[split, seed])
    over: Over = "splits" if len(differences) > 1 else "seeds"
    if over == "splits":
        pairs = [statistics.fmean(own) for own in differences.values()]
        ratios = {repeat.split: repeat.ratio for repeat in first}
        ratio = statistics.fmean(ratios[split] for split in differences)  # they are nearly equal
    else:
        pairs, ratio = [value for own in differences.values() for value in own], 0.0
    if len(pairs) < 2:
        return None
    return PairedTest(statistics.fmean(pairs), p_value(pairs, ratio), len(pairs), over)


def p_value(differences: Sequence[float], ratio: float) -> float | None:
    """Return the two-sided p-value of the corrected resampled t test.

    Args:
        differences: one per pair, at least two.
        ratio: evaluated rows divided by training rows; 0 gives the ordinary paired t test.

    Returns:
        The p-value; None if all differences are equal.
    """
    from scipy.special import stdtr  # distribution function of Student's t; imported only when needed

    deviation = statistics.stdev(differences)
    if deviation <= ROUNDING:
        return None
    count = len(differences)
    t = statistics.fmean(differences) / (deviation * math.sqrt(1 / count + ratio))
    return float(2 * stdtr(count - 1, -abs(t)))


def explain(tests: Iterable[PairedTest | None]) -> list[str]:
    """Return sentences that explain the test columns of a leaderboard; none if there is no test."""
    present = [test for test in tests if test]
    if not present:
        return []
    counts: dict[Over, set[int]] = {}
    for test in present:
        counts.setdefault(test.over, set()).add(test.pairs)
    sentences = [
        "difference: mean difference to the first row, over runs with the same split and seed; "
        "p is not corrected for multiple comparisons"
    ]
    for over, pairs in counts.items():
        number = f"{min(pairs)} " if len(pairs) == 1 else ""
        sentences.append(f"p over {number}{over}: {COVERS[over]}")
    if any(test.p is None for test in present):
        sentences.append("no p: all differences of that row are equal, so their variance is unknown")
    return sentences


def _mean_by_draw(repeats: Iterable[Repeat]) -> dict[tuple[str, int], float]:
    """Return the mean value of each (split, seed)."""
    values: dict[tuple[str, int], list[float]] = {}
    for repeat in repeats:
        values.setdefault((repeat.split, repeat.seed), []).append(repeat.value)
    return {draw: statistics.fmean(own) for draw, own in values.items()}
