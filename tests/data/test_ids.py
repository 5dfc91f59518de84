import math
import re
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.data.ids import MAX_ID_LENGTH, IdMap, as_array
from recsys.errors import UnknownIdError

SMALL = st.integers(0, 300)
ANY = st.integers(-(2**62), 2**62)
TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=6)
VALUES = st.one_of(*(st.lists(kind, min_size=1, max_size=40) for kind in (SMALL, ANY, TEXT)))


@given(VALUES)
def test_indices_and_ids_are_inverse(values: list) -> None:
    ids = IdMap.from_values(values)
    indices = ids.to_indices(values)
    assert ids.to_ids(indices).tolist() == values
    assert ids.ids.tolist() == sorted(set(values))
    assert ids.to_indices(ids.ids).tolist() == list(range(len(ids)))
    assert indices.dtype == np.int32


@given(VALUES, VALUES)
def test_only_ids_of_the_map_are_known(values: list, wanted: list) -> None:
    ids = IdMap.from_values(values, "item")
    unknown = set(wanted) - set(values)
    assert [ids.find(id) >= 0 for id in wanted] == [id in values for id in wanted]
    assert [ids.from_text(str(id)) for id in values] == values
    if type(values[0]) is type(wanted[0]) and not unknown:
        assert ids.to_indices(wanted).tolist() == [sorted(set(values)).index(id) for id in wanted]
    else:
        with pytest.raises(UnknownIdError, match="item id"):
            ids.to_indices(wanted)


@pytest.mark.parametrize("values", [[10, 20, 30], [10, 20, 10**12]], ids=["table", "search"])
def test_an_unknown_number_is_reported_with_the_nearest_ids(values: list[int]) -> None:
    ids = IdMap.from_values(values, "user")
    with pytest.raises(UnknownIdError) as error:
        ids.to_indices([10, 17, 20])
    assert str(error.value) == "unknown user id: 17 (the nearest known: 10, 20)"


def test_at_most_five_unknown_ids_are_reported() -> None:
    with pytest.raises(UnknownIdError, match=r"^unknown user ids: b, c, d, e, f, \.\.\.$"):
        IdMap.from_values(["a"], "user").to_indices(list("gfedcba"))


@pytest.mark.parametrize(
    ("values", "wanted", "message"),
    [
        ([1, 2], "x", "user ids are whole numbers here, which 'x' is not"),
        ([1, 2], 1.0, "user ids are whole numbers here, which 1.0 is not"),
        (["1", "2"], [1], "user ids are text here, which 1 is not"),
    ],
)
def test_ids_of_the_wrong_type_are_reported(values: list, wanted: object, message: str) -> None:
    ids = IdMap.from_values(values, "user")
    with pytest.raises(UnknownIdError) as error:
        ids.to_indices(wanted)
    assert str(error.value) == message


def test_indices_have_the_shape_of_the_ids() -> None:
    ids = IdMap.from_values([5, 9])
    assert ids.to_indices(9).shape == ()
    assert ids.to_indices([]).shape == (0,)
    assert ids.to_indices([[9, 5], [5, 5]]).tolist() == [[1, 0], [0, 0]]
    assert ids.to_ids([[1], [0]]).tolist() == [[9], [5]]


@pytest.mark.parametrize("value", [None, True, 1.0, 1])
def test_a_map_of_text_contains_no_other_types(value: object) -> None:
    assert IdMap.from_values(["1", "True", "None"]).find(value) == -1


def test_pandas_text_columns_are_text_ids() -> None:
    ids = IdMap.from_values(pd.Series(["b", "a", "b"]))
    assert ids.to_indices(pd.Series(["b", "a"])).tolist() == [1, 0]
    assert ids.ids.tolist() == ["a", "b"]


def test_find_returns_minus_one_for_unknown_ids() -> None:
    numbers, words = IdMap.from_values([5, 9, 10**9]), IdMap.from_values(["b", "a"])
    assert numbers.find([[9, 6], [10**9, -1]]).tolist() == [[1, -1], [2, -1]]
    assert numbers.find("x").tolist() == -1
    assert words.find(["a", "c", "b"]).tolist() == [0, -1, 1]
    assert words.find([]).shape == (0,)


def test_an_unknown_text_id_is_reported_with_similar_ids() -> None:
    with pytest.raises(UnknownIdError, match=r"unknown user id: anna \(the nearest known: hanna, ann"):
        IdMap.from_values(["hanna", "ann", "bob"], "user").to_indices("anna")


def test_a_text_longer_than_any_id_is_reported_without_similar_ids() -> None:
    known, wanted = "x" * MAX_ID_LENGTH, "x" * (MAX_ID_LENGTH + 1)
    with pytest.raises(UnknownIdError, match=r"^unknown user id: x+\.\.\. \([\d,]+ characters\)$"):
        IdMap.from_values([known], "user").to_indices(wanted)


@pytest.mark.parametrize("wrap", [str, lambda id: [id], lambda id: pd.Series([id]), lambda id: (id, "u1")])
def test_an_id_with_a_nul_character_is_not_the_id_without_it(wrap: Callable) -> None:
    ids = IdMap.from_values(["u0", "u1"], "user")
    assert ids.find(wrap("u0\0")).ravel()[0] == -1
    with pytest.raises(UnknownIdError, match=r"unknown user id: 'u0\\x00' \(the nearest known: u0"):
        ids.to_indices(wrap(ids.from_text("u0\0")))
    assert ids.to_indices(wrap("u0")).ravel()[0] == 0


@pytest.mark.parametrize("other", [math.nan, True, 7, None], ids=str)
def test_other_values_in_a_list_of_text_ids_do_not_become_text(other: object) -> None:
    """As `np.asarray` converts them."""
    ids = IdMap.from_values(["ann", "nan", "True", "7", "None"], "user")
    for wanted in (["ann", other], [[other, "ann"]]):
        with pytest.raises(UnknownIdError, match=rf"user ids are text here, which {other} is not"):
            ids.to_indices(wanted)
        assert (ids.find(wanted) == -1).all()
        with pytest.raises(UnknownIdError):
            ids.find_given(wanted)


def test_unusual_arrays_of_ids() -> None:
    numbers, words = IdMap.from_values([1, 2, 5], "user"), IdMap.from_values(["ann", "bob"], "user")
    assert numbers.to_indices(np.array([5, 1], ">i8")).tolist() == [2, 0]
    assert words.to_indices(np.array(["bob", "ann"], ">U5")).tolist() == [1, 0]
    assert words.to_indices(np.array(["bob"], np.dtypes.StringDType())).tolist() == [1]
    assert numbers.to_indices(np.ma.masked_array([5, 1], [False, False])).tolist() == [2, 0]
    for wanted, shown in (
        (np.ma.masked_array([5, 1], [False, True]), "None"),
        (np.array([5], "m8[s]"), "0:00:05"),
        (np.array([np.timedelta64(5, "s")], object), "5 seconds"),
    ):
        with pytest.raises(UnknownIdError, match=f"whole numbers here, which {shown} is not"):
            numbers.to_indices(wanted)


def test_arrays_of_ids_have_the_native_byte_order() -> None:
    """pandas cannot query a column with the other one."""
    assert as_array(np.array([5, 1], ">i8")).dtype == np.int64


TOO_LARGE = [2**63, -(2**63) - 1, 10**30, 10**5000]


@pytest.mark.parametrize("values", [[10, 20], [10, 20, 10**12]], ids=["table", "search"])
@pytest.mark.parametrize("id", TOO_LARGE, ids=["2**63", "-2**63-1", "10**30", "10**5000"])
def test_integers_of_more_than_64_bits_are_unknown(id: int, values: list[int]) -> None:
    ids = IdMap.from_values(values, "user")
    assert ids.find(id) == -1
    assert ids.find([20, id, 10]).tolist() == [1, -1, 0]
    near = max(values) if id > 0 else 10
    with pytest.raises(
        UnknownIdError, match=rf"^unknown user id: .* \(the nearest known: {near}\)$"
    ) as error:
        ids.to_indices([20, id])
    assert len(str(error.value)) < 150


@pytest.mark.parametrize("text", ["9" * 19, "9" * 5000, "-" + "9" * 5000, " 9" * 1 + "9" * 30])
def test_typed_numbers_of_more_than_64_bits_are_unknown(text: str) -> None:
    ids = IdMap.from_values([10, 20], "user")
    with pytest.raises(UnknownIdError, match=r"^unknown user id: -?9999.* \(the nearest known: ") as error:
        ids.to_indices(ids.from_text(text))
    assert len(str(error.value)) < 150


@pytest.mark.parametrize(
    "text", ["+1", "\N{CIRCLED DIGIT ONE}", "\N{FULLWIDTH DIGIT ONE}", "1_0", "1.0", "1 0"]
)
def test_numbers_in_another_notation_are_unknown(text: str) -> None:
    ids = IdMap.from_values([1, 10], "item")
    assert ids.find(ids.from_text(text)) == -1
    message = f"item ids are whole numbers here, which '{text}' is not (the nearest known: 1)"
    with pytest.raises(UnknownIdError, match=re.escape(message)):
        ids.to_indices(ids.from_text(text))


def test_a_query_longer_than_all_ids_is_unknown_and_takes_little_memory() -> None:
    """A numpy array of text would have room for the query in every element: 4 GB here."""
    ids = IdMap.from_values([f"u{number}" for number in range(1000)], "user")
    long = "u1" + "x" * 1_000_000
    assert ids.find([long, "u7"]).tolist() == [-1, ids.to_indices("u7")]
    with pytest.raises(UnknownIdError, match="1,000,002 characters"):
        ids.to_indices(long)
