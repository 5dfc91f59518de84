import csv
import io
import json
import math
from pathlib import Path

import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st
from test_leaderboard import write_run

from recsys.errors import RunError
from recsys.leaderboard.paired_test import PairedTest, Repeat, explain, p_value, paired_test
from recsys.leaderboard.report import compare
from recsys.leaderboard.table import against_best, rank, read_runs, table
from recsys.tables import shown

FIRST = [0.912, 0.925, 0.931, 0.908, 0.919]
SECOND = [0.905, 0.921, 0.918, 0.909, 0.911]


def seeds(values: list[float], split: str = "a") -> list[Repeat]:
    return [Repeat(split, seed, 0.25, value) for seed, value in enumerate(values)]


def folds(values: list[float], ratio: float = 0.25) -> list[Repeat]:
    return [Repeat(f"fold {fold}", 1, ratio, value) for fold, value in enumerate(values)]


def test_over_seeds_of_one_split_it_is_the_ordinary_paired_t() -> None:
    known = scipy.stats.ttest_rel(FIRST, SECOND)
    test = paired_test(seeds(FIRST), seeds(SECOND))
    assert test is not None
    assert (test.pairs, test.over) == (5, "seeds")
    assert test.difference == pytest.approx(sum(FIRST) / 5 - sum(SECOND) / 5)
    assert test.p == pytest.approx(known.pvalue, rel=1e-9)


def test_over_folds_it_is_the_corrected_one() -> None:
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
def test_the_correction_never_finds_more_and_the_order_changes_the_sign_alone(
    pairs: list[tuple[float, float]], ratio: float
) -> None:
    first, second = map(list, zip(*pairs, strict=True))
    over_seeds = paired_test(seeds(first), seeds(second))
    there = paired_test(folds(first, ratio), folds(second, ratio))
    back = paired_test(folds(second, ratio), folds(first, ratio))
    assert over_seeds
    assert there
    assert back
    assert (back.difference, back.p) == (-there.difference, there.p)
    assert (there.p is None) == (over_seeds.p is None)
    if there.p is not None:
        assert over_seeds.p <= there.p <= 1  # type: ignore[operator]


def test_pairs_are_found_by_split_and_seed_and_not_by_place() -> None:
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


def test_what_one_of_them_lacks_is_left_out() -> None:
    test = paired_test(folds(FIRST), folds(SECOND)[1:4])
    assert test == paired_test(folds(FIRST)[1:4], folds(SECOND)[1:4])
    assert test is not None
    assert test.pairs == 3
    assert paired_test(folds(FIRST), folds(SECOND)[:1]) is None
    assert paired_test(seeds(FIRST, "a"), seeds(SECOND, "b")) is None, "no split in common"
    assert paired_test([], seeds(SECOND)) is None


def test_seeds_within_a_fold_and_runs_done_twice_are_no_further_evidence() -> None:
    once = paired_test(folds([2.0, 4.0, 6.0]), folds([1.0, 2.0, 3.0]))
    around = [
        Repeat(f"fold {fold}", seed, 0.25, value + seed * 0.5)
        for fold, value in enumerate([2.0, 4.0, 6.0])
        for seed in (-1, 1)
    ]
    level = [
        Repeat(f"fold {fold}", seed, 0.25, float(value))
        for fold, value in enumerate([1, 2, 3])
        for seed in (-1, 1)
    ]
    assert paired_test(around, level) == once
    assert paired_test(folds([2.0, 4.0, 6.0]) * 2, folds([1.0, 2.0, 3.0])) == once
    assert paired_test(seeds([2.0]) * 3, seeds([1.0]) * 3) is None


@pytest.mark.parametrize("shift", [0.0, 0.1])
def test_differences_that_do_not_vary_have_no_p(shift: float) -> None:
    test = paired_test(seeds([value + shift for value in FIRST]), seeds(FIRST))
    assert test is not None
    assert test.difference == pytest.approx(shift)
    assert test.p is None
    assert explain([None, test])[-1].startswith("no p: ")


def test_no_difference_on_average_is_p_1() -> None:
    assert p_value([-1.0, 1.0], 0.0) == 1.0


def test_a_small_p_is_not_shown_as_none_at_all() -> None:
    assert [shown(p) for p in (0.0, 0.0123, 0.0001, 3.21e-05)] == ["0.0000", "0.0123", "0.0001", "3e-05"]


def sweep_of_folds(folder: Path) -> None:
    """Three sizes by three folds; the last fold of the last size failed."""
    values = {4: [0.90, 0.92, 0.94], 8: [0.91, 0.94, 0.97], 16: [0.93, 0.96]}
    for dim, of_folds in values.items():
        for fold, value in reversed(list(enumerate(of_folds))) if dim == 8 else enumerate(of_folds):
            overrides = [f"model.embedding_dim={dim}", f"split.fold={fold}"]
            write_run(
                folder / f"{dim}-{fold}", overrides, value, value - fold / 100, split=f"kfold(...) {fold}"
            )


def test_a_leaderboard_tests_every_line_against_the_first(tmp_path: Path) -> None:
    sweep_of_folds(tmp_path)
    best, second, last = table(rank(read_runs(tmp_path)))
    assert (best["difference"], best["p"], best["pairs"]) == ("", "", "")
    # 0.01, 0.02, 0.03; ten rows of validation for 80 of training
    t = 2 / math.sqrt(1 / 3 + 10 / 80)
    assert (second["difference"], second["pairs"]) == (0.02, "3 splits")
    assert second["p"] == pytest.approx(1 - t / math.sqrt(2 + t * t), rel=5e-3)
    assert (last["difference"], last["pairs"], last["runs"]) == (0.035, "2 splits", "2, 1 missing")
    assert not [key for key in best if key.startswith("test ")]


def test_the_test_metric_is_tested_where_it_is_shown_and_chooses_nothing(tmp_path: Path) -> None:
    for dim, val, test in ((4, 0.90, 0.95), (8, 0.91, 0.90)):
        for seed in (1, 2):
            overrides = [f"model.embedding_dim={dim}", f"seed={seed}"]
            write_run(tmp_path / f"{dim}-{seed}", overrides, val + seed * dim / 1000, test + seed * dim / 100)
    lines = rank(read_runs(tmp_path))
    assert "test difference" not in table(lines)[0]
    first, second = table(lines, test=True)
    assert (first["model.embedding_dim"], first["test difference"]) == ("4", "")
    assert second["test difference"] == pytest.approx(0.01)
    assert second["pairs"] == "2 seeds"
    own = [run.content["metrics"]["test/rmse"] for run in lines[1].runs]
    known = scipy.stats.ttest_rel(own, [run.content["metrics"]["test/rmse"] for run in lines[0].runs])
    assert second["test p"] == pytest.approx(known.pvalue, rel=5e-3)


def test_single_runs_and_other_splits_have_no_such_columns(tmp_path: Path) -> None:
    for dim in (4, 8):
        write_run(tmp_path / str(dim), [f"model.embedding_dim={dim}"], 0.9 + dim / 100)
    write_run(tmp_path / "again", ["model.embedding_dim=4", "seed=2"], 0.9)
    lines = rank(read_runs(tmp_path))
    assert "p" not in table(lines, test=True)[0]
    assert explain(against_best(lines, "val/rmse")) == []
    write_run(tmp_path / "elsewhere", ["model.embedding_dim=8", "seed=2"], 0.9, split="random bb")
    write_run(tmp_path / "elsewhere2", ["model.embedding_dim=16", "seed=2"], 0.9, split="random cc")
    with pytest.raises(RunError, match="were not tested on the same ratings"):
        rank(read_runs(tmp_path))


def test_every_form_of_the_leaderboard_has_the_columns(tmp_path: Path, capsys) -> None:
    sweep_of_folds(tmp_path)
    compare(tmp_path, page=tmp_path / "page.html")
    told = capsys.readouterr().out
    assert "diff   ┃ p " in told
    assert "3 splits" in told
    assert "p over splits: two-sided, the corrected t of Nadeau and Bengio" in told
    page = (tmp_path / "page.html").read_text()
    assert "<th>difference</th><th>p</th><th>pairs</th>" in page
    assert "the corrected t of Nadeau and Bengio" in page
    compare(tmp_path, "json")
    rows = json.loads(capsys.readouterr().out)
    assert [row["difference"] for row in rows] == ["", 0.02, 0.035]
    compare(tmp_path, "csv")
    assert [row["pairs"] for row in csv.DictReader(io.StringIO(capsys.readouterr().out))] == [
        "",
        "3 splits",
        "2 splits",
    ]
    compare(tmp_path, "markdown")
    assert "| difference | p | pairs |" in capsys.readouterr().out


def test_over_seeds_it_says_what_it_does_not_cover(tmp_path: Path, capsys) -> None:
    for dim in (4, 8):
        for seed in (1, 2):
            write_run(tmp_path / f"{dim}-{seed}", [f"model.embedding_dim={dim}", f"seed={seed}"], dim / seed)
    compare(tmp_path)
    told = capsys.readouterr().out
    assert "no p" not in told
    assert "p over 2 seeds: two-sided, the ordinary paired t: the luck of initialisation" in told
    assert "not of the split" in told
    assert "pairs" not in told, "said already"
