import random

import pytest

from recsys.leaderboard.values import Axis, parse_numbers, sort_key


def test_numbers_are_sorted_by_value_lists_by_size_and_words_alphabetically() -> None:
    ordered = [
        "-1",
        "0.5",
        "1e1",
        "16",
        "128",
        "[]",
        "[64]",
        "[128]",
        "[64,64]",
        "[128, 64]",
        "adam",
        "sgd",
        "",
    ]
    shuffled = random.Random(0).sample(ordered, len(ordered))
    assert sorted(shuffled, key=sort_key) == ordered


@pytest.mark.parametrize(
    "value", ["nan", "inf", "-inf", "1e101", "true", "null", "[64", "[64,x]", "[[64]]", "[inf]", "1;2"]
)
def test_other_values_are_words(value: str) -> None:
    assert sort_key(value)[0] == 2
    assert Axis.of([value, "1"]).kind == "categories"


def test_a_list_has_its_numbers() -> None:
    assert parse_numbers("[128, 0.5]") == [128.0, 0.5]
    assert parse_numbers("[]") == []


def test_numbers_are_their_own_positions_and_other_values_are_evenly_spaced() -> None:
    numbers = Axis.of(["16", "8", "128"])
    assert (numbers.kind, numbers.positions) == ("numbers", {"8": 8.0, "16": 16.0, "128": 128.0})
    lists = Axis.of(["[256,128]", "[64]"])
    assert (lists.kind, lists.positions) == ("lists", {"[64]": 0.0, "[256,128]": 1.0})


def test_an_axis_is_logarithmic_if_its_numbers_are_positive_and_far_apart() -> None:
    assert Axis.of(["1", "4"]).is_log
    assert not Axis.of(["1", "3"]).is_log
    assert not Axis.of(["0", "100"]).is_log
    assert not Axis.of(["[1]", "[100]"]).is_log


def test_numbers_that_are_close_to_each_other_are_to_scale() -> None:
    few = Axis.of(["1", "10", "100", "1000"])
    assert not few.is_continuous
    assert few.heights() == {"1": 0.0, "10": pytest.approx(1 / 3), "100": pytest.approx(2 / 3), "1000": 1.0}
    close = Axis.of(["0", "1", "40"])
    assert close.is_continuous
    assert close.heights() == {"0": 0.0, "1": 0.025, "40": 1.0}
    logarithmic = Axis.of(["1", "1.1", "10", "100"])
    assert logarithmic.is_continuous
    assert logarithmic.heights()["10"] == pytest.approx(0.5)
