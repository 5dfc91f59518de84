import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.data.ids import IdMap
from recsys.errors import UnknownIdError

SMALL = st.integers(0, 300)
ANY = st.integers(-(2**62), 2**62)
TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=6)
VALUES = st.one_of(*(st.lists(kind, min_size=1, max_size=40) for kind in (SMALL, ANY, TEXT)))


@given(VALUES)
def test_every_id_comes_back_from_its_row(values: list) -> None:
    ids = IdMap.from_values(values)
    rows = ids.to_indices(values)
    assert ids.to_ids(rows).tolist() == values
    assert ids.ids.tolist() == sorted(set(values))
    assert ids.to_indices(ids.ids).tolist() == list(range(len(ids)))
    assert rows.dtype == np.int32


@given(VALUES, VALUES)
def test_exactly_the_ids_given_are_known(values: list, asked: list) -> None:
    ids = IdMap.from_values(values, "item")
    unknown = set(asked) - set(values)
    assert [id in ids for id in asked] == [id in values for id in asked]
    if type(values[0]) is type(asked[0]) and not unknown:
        assert ids.to_indices(asked).tolist() == [sorted(set(values)).index(id) for id in asked]
    else:
        with pytest.raises(UnknownIdError, match="item id"):
            ids.to_indices(asked)


@pytest.mark.parametrize("values", [[10, 20, 30], [10, 20, 10**12]], ids=["table", "search"])
def test_an_unknown_number_is_named_with_its_neighbours(values: list[int]) -> None:
    ids = IdMap.from_values(values, "user")
    with pytest.raises(UnknownIdError) as error:
        ids.to_indices([10, 17, 20])
    assert str(error.value) == "unknown user id: 17 (the nearest known: 10, 20)"


def test_many_unknown_ids_are_named_up_to_five() -> None:
    with pytest.raises(UnknownIdError, match=r"^unknown user ids: b, c, d, e, f, \.\.\.$"):
        IdMap.from_values(["a"], "user").to_indices(list("gfedcba"))


@pytest.mark.parametrize(
    ("values", "asked", "told"),
    [
        ([1, 2], "x", "user ids are whole numbers here, which 'x' is not"),
        ([1, 2], 1.0, "user ids are whole numbers here, which 1.0 is not"),
        (["1", "2"], [1], "user ids are text here, which 1 is not"),
    ],
)
def test_the_wrong_kind_of_id_is_told(values: list, asked: object, told: str) -> None:
    ids = IdMap.from_values(values, "user")
    with pytest.raises(UnknownIdError) as error:
        ids.to_indices(asked)
    assert str(error.value) == told


def test_rows_have_the_shape_of_the_ids() -> None:
    ids = IdMap.from_values([5, 9])
    assert ids.to_indices(9).shape == ()
    assert ids.to_indices([]).shape == (0,)
    assert ids.to_indices([[9, 5], [5, 5]]).tolist() == [[1, 0], [0, 0]]
    assert ids.to_ids([[1], [0]]).tolist() == [[9], [5]]


@pytest.mark.parametrize("stranger", [None, True, 1.0, 1])
def test_other_things_are_not_in_a_map_of_text(stranger: object) -> None:
    assert stranger not in IdMap.from_values(["1", "True", "None"])


def test_text_columns_of_pandas_are_text() -> None:
    ids = IdMap.from_values(pd.Series(["b", "a", "b"]))
    assert ids.to_indices(pd.Series(["b", "a"])).tolist() == [1, 0]
    assert ids.ids.dtype.kind == "U"


def test_find_marks_what_is_unknown() -> None:
    numbers, words = IdMap.from_values([5, 9, 10**9]), IdMap.from_values(["b", "a"])
    assert numbers.find([[9, 6], [10**9, -1]]).tolist() == [[1, -1], [2, -1]]
    assert numbers.find("x").tolist() == -1
    assert words.find(["a", "c", "b"]).tolist() == [0, -1, 1]
    assert words.find([]).shape == (0,)


def test_the_nearest_words_are_offered() -> None:
    with pytest.raises(UnknownIdError, match=r"unknown user id: anna \(the nearest known: hanna, ann"):
        IdMap.from_values(["hanna", "ann", "bob"], "user").to_indices("anna")
