import logging

import numpy as np
import pyarrow as pa
import pytest

from recsys.data.features import FeatureMatrix, Options, make_features
from recsys.errors import DataError


def features(options: Options = Options(), **columns: list | pa.Array) -> FeatureMatrix:  # noqa: B008
    return make_features(pa.table(columns), options, "data.items")


def test_text_and_booleans_are_categories() -> None:
    found = features(brand=["b", "a", None, "b"], organic=[True, False, True, True])
    assert found.names == ["brand=a", "brand=b", "organic=false", "organic=true"]
    assert found.values.tolist() == [[0, 1, 0, 1], [1, 0, 1, 0], [0, 0, 0, 1], [0, 1, 0, 1]]
    assert found.values.dtype == np.float32


@pytest.mark.parametrize(
    "tags", [["tea|herbal", "tea", ""], pa.array([["tea", "herbal"], ["tea"], []])], ids=["text", "list"]
)
def test_several_values_share_the_weight(tags: list | pa.Array) -> None:
    found = features(tags=tags)
    assert found.names == ["tags=herbal", "tags=tea"]
    assert found.values.tolist() == [[0.5, 0.5], [0, 1], [0, 0]]


def test_the_separator_of_lists_can_be_set() -> None:
    assert features(Options(list_separator=";"), tags=["a;b", "a"]).names == ["tags=a", "tags=b"]
    assert features(Options(list_separator=";"), tags=["a|b", "a", "a"]).names == ["tags=a", "tags=a|b"]


def test_numbers_are_standardised_and_cut() -> None:
    found = features(price=[1.0, 3.0, 1.0, 3.0])
    assert found.names == ["price"]
    assert found.values[:, 0].tolist() == [-1, 1, -1, 1]
    extreme = features(price=[0.0] * 99 + [1e6]).values
    assert extreme.max() == 5


def test_a_missing_number_is_the_mean_and_is_marked() -> None:
    found = features(price=[1.0, None, 3.0])
    assert found.names == ["price", "price missing"]
    assert found.values.tolist() == [[-1, 0], [0, 1], [1, 0]]


def test_numbers_may_be_categories() -> None:
    assert features(Options(categorical=("shop",)), shop=[10, 20, 10]).names == ["shop=10", "shop=20"]


def test_dates_are_standardised() -> None:
    dates = pa.array(["2026-01-01", "2026-01-03"]).cast(pa.timestamp("s"))
    assert features(added=dates).values[:, 0].tolist() == [-1, 1]
    assert features(added=dates.cast(pa.date32())).values[:, 0].tolist() == [-1, 1]


@pytest.mark.parametrize(
    "kind", [pa.list_(pa.float32()), pa.list_(pa.float64(), 2), pa.large_list(pa.int64())]
)
def test_lists_of_numbers_are_vectors_of_unit_length(kind: pa.DataType) -> None:
    found = features(text=pa.array([[1, 5], [3, 5], None, [1, 7], [3, 7]], kind))
    assert found.names == ["text[0]", "text[1]"]
    half = np.float32(np.sqrt(0.5))
    np.testing.assert_allclose(
        found.values, [[-half, -half], [half, -half], [0, 0], [-half, half], [half, half]], rtol=1e-6
    )


def test_vectors_must_have_one_length_and_finite_numbers() -> None:
    with pytest.raises(DataError, match=r"data\.items: column 'text' has vectors of 1 to 2 numbers"):
        features(text=[[1.0, 2.0], [1.0]])
    for number in (float("nan"), float("inf"), -1e101):
        with pytest.raises(DataError, match=r"a number that is missing, not finite, or above 1e\+100"):
            features(text=[[1.0, 2.0], [1.0, number]])


@pytest.mark.parametrize("number", [1e200, float("inf"), float("-inf")])
def test_a_number_whose_square_is_infinite_is_no_feature(
    number: float, caplog: pytest.LogCaptureFixture
) -> None:
    assert features(price=[1.0, 2.0, number]).names == []
    assert "column 'price' has a number beyond 1e+100; it is not used as a feature" in caplog.text
    assert features(price=[1.0, 2.0, 1e90]).names == ["price"]


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ([None, None, None], "has no values"),
        (["", None, ""], "has no values"),
        ([[""], [], None], "has no values"),
        ([["same"]] * 3, r"is constant \('same'\)"),
        (["same"] * 3, r"is constant \('same'\)"),
        ([7.0] * 3, r"is constant \('7.0'\)"),
        ([f"text {row}" for row in range(3)], "has a different value in each row"),
        (
            [[f"{row}-{n}" for n in range(400)] for row in range(3)],
            "has 1,200 distinct values, more than 1,000",
        ),
        ([{"a": 1}] * 3, "has the type struct"),
    ],
)
def test_columns_that_cannot_be_features_are_named(
    values: list, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    price = [1.0, 2.0, 3.0]
    with caplog.at_level(logging.WARNING):
        assert features(odd=values, price=price).names == ["price"]
    assert caplog.records[0].getMessage().startswith("data.items: column 'odd' ")
    with pytest.raises(DataError, match=f"column 'odd' {reason}.*, so it cannot be a feature"):
        features(Options(chosen=("odd",)), odd=values, price=price)


def test_only_chosen_columns_are_features() -> None:
    assert features(Options(chosen=()), price=[1.0, 2.0]).values.shape == (2, 0)
    with pytest.raises(DataError, match="no column 'cost'; the file has 'price'"):
        features(Options(chosen=("cost",)), price=[1.0, 2.0])
