import math

import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from recsys.leaderboard.paired_test import PairedTest, Repeat, explain, p_value, paired_test
from recsys.tables import shown

FIRST = [0.912, 0.925, 0.931, 0.908, 0.919]
SECOND = [0.905, 0.921, 0.918, 0.909, 0.911]


def seeds(values: list[float], split: str = "a") -> list[Repeat]:
    return [Repeat(split, seed, 0.25, value) for seed, value in enumerate(values)]


def folds(values: list[float], ratio: float = 0.25) -> list[Repeat]:
    return [Repeat(f"fold {fold}", 1, ratio, value) for fold, value in enumerate(values)]


def test_seeds_of_one_split_give_the_ordinary_paired_t_test() -> None:
    expected = scipy.stats.ttest_rel(FIRST, SECOND)
    test = paired_test(seeds(FIRST), seeds(SECOND))
    assert test is not None
    assert (test.pairs, test.over) == (5, "seeds")
    assert test.difference == pytest.approx(sum(FIRST) / 5 - sum(SECOND) / 5)
    assert test.p == pytest.approx(expected.pvalue, rel=1e-9)


def test_folds_give_the_corrected_t_test() -> None:
    # Differences 1, 2, 3: mean 2, variance 1, so t = 2 / sqrt(1/3 + 1/6) = 2 sqrt(2). With two degrees of
    # freedom the two tails of t are 1 - t / sqrt(2 + t²): 1 - sqrt(8 / 10).
    test = paired_test(folds([2.0, 4.0, 6.0], 1 / 6), folds([1.0, 2.0, 3.0], 1 / 6))
    assert test == PairedTest(2.0, pytest.approx(1 - math.sqrt(0.8), rel=1e-12), 3, "splits")
    # Two folds, differences 1 and 3: t = 2 / sqrt((1/2 + 1/4) 2); one degree of freedom is the Cauchy law.
    test = paired_test(folds([2.0, 5.0]), folds([1.0, 2.0]))
    assert test is not None
    assert test.p == pytest.approx(1 - 2 * math.atan(2 / math.sqrt(1.5)) / math.pi, rel=1e-12)


@given(
    st.lists(st.tuples(st.floats(0, 5), st.floats(0, 5)), min_size=2, max_size=12),
    st.floats(0.001, 3),
)
def test_the_correction_never_lowers_p_and_swapping_only_changes_the_sign(
    pairs: list[tuple[float, float]], ratio: float
) -> None:
    first, second = map(list, zip(*pairs, strict=True))
    ordinary = paired_test(seeds(first), seeds(second))
    corrected = paired_test(folds(first, ratio), folds(second, ratio))
    swapped = paired_test(folds(second, ratio), folds(first, ratio))
    assert ordinary
    assert corrected
    assert swapped
    assert (swapped.difference, swapped.p) == (-corrected.difference, corrected.p)
    assert (corrected.p is None) == (ordinary.p is None)
    if corrected.p is not None:
        assert ordinary.p <= corrected.p <= 1  # type: ignore[operator]


def test_pairs_are_matched_by_split_and_seed_and_not_by_order() -> None:
    straight, shuffled = (
        paired_test(folds(FIRST), folds(SECOND)),
        paired_test(folds(FIRST)[::-1], folds(SECOND)),
    )
    assert straight
    assert shuffled
    assert shuffled.p == pytest.approx(straight.p, rel=1e-12)
    assert shuffled.difference == pytest.approx(straight.difference, rel=1e-12)
    seeded = paired_test(seeds(FIRST)[2:] + seeds(FIRST)[:2], seeds(SECOND))
    assert seeded
    assert seeded.p == pytest.approx(scipy.stats.ttest_rel(FIRST, SECOND).pvalue, rel=1e-9)


def test_draws_of_only_one_configuration_are_left_out() -> None:
    test = paired_test(folds(FIRST), folds(SECOND)[1:4])
    assert test == paired_test(folds(FIRST)[1:4], folds(SECOND)[1:4])
    assert test is not None
    assert test.pairs == 3
    assert paired_test(folds(FIRST), folds(SECOND)[:1]) is None
    assert paired_test(seeds(FIRST, "a"), seeds(SECOND, "b")) is None, "no common split"
    assert paired_test([], seeds(SECOND)) is None


def test_seeds_within_a_fold_and_repeated_runs_are_not_additional_pairs() -> None:
    once = paired_test(folds([2.0, 4.0, 6.0]), folds([1.0, 2.0, 3.0]))
    varied = [
        Repeat(f"fold {fold}", seed, 0.25, value + seed * 0.5)
        for fold, value in enumerate([2.0, 4.0, 6.0])
        for seed in (-1, 1)
    ]
    constant = [
        Repeat(f"fold {fold}", seed, 0.25, float(value))
        for fold, value in enumerate([1, 2, 3])
        for seed in (-1, 1)
    ]
    assert paired_test(varied, constant) == once
    assert paired_test(folds([2.0, 4.0, 6.0]) * 2, folds([1.0, 2.0, 3.0])) == once
    assert paired_test(seeds([2.0]) * 3, seeds([1.0]) * 3) is None


@pytest.mark.parametrize("shift", [0.0, 0.1])
def test_equal_differences_have_no_p(shift: float) -> None:
    test = paired_test(seeds([value + shift for value in FIRST]), seeds(FIRST))
    assert test is not None
    assert test.difference == pytest.approx(shift)
    assert test.p is None
    assert explain([None, test])[-1].startswith("no p: ")


def test_a_mean_difference_of_0_has_p_1() -> None:
    assert p_value([-1.0, 1.0], 0.0) == 1.0


def test_a_small_p_is_not_shown_as_0() -> None:
    assert [shown(p) for p in (0.0, 0.0123, 0.0001, 3.21e-05)] == ["0.0000", "0.0123", "0.0001", "3e-05"]
