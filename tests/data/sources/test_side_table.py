"""Types of text in Parquet files: pandas writes string, Polars string_view, databases large_string and dictionaries."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet
from support.repeated_text import ROWS, large_column, write_large

from recsys.data.features import Options
from recsys.data.sources.describe import describe_items
from recsys.data.sources.side_table import read_side_table
from recsys.errors import DataError

TEXTS = {
    "string": pa.string(),
    "large_string": pa.large_string(),
    "string_view": pa.string_view(),
    "dictionary": pa.dictionary(pa.int32(), pa.string()),
}


@pytest.mark.parametrize("kind", TEXTS)
@pytest.mark.parametrize("to_list", [pa.list_, pa.large_list])
def test_all_types_of_text_describe_items_alike(kind: str, to_list, tmp_path: Path) -> None:
    text = TEXTS[kind]
    element = pa.string() if kind == "dictionary" else text
    columns = {
        "sku": pa.array(["b", "a", "c"], text),
        "title": pa.array(["B", "A", None], text),
        "brand": pa.array(["x", "y", "x"], text),
        "tags": pa.array([["new", "eco"], ["eco"], []], to_list(element)),
        "released": pa.array(["2026-01-31", "2026-02-01", ""], text),
    }
    parquet.write_table(pa.table(columns), tmp_path / "items.parquet")
    side = read_side_table(tmp_path / "items.parquet", "sku", "data.items")
    assert side.ids.tolist() == ["b", "a", "c"]
    items = describe_items(side, "title", Options(None, (), "|"), "data.items")
    assert items.table["title"].tolist() == ["B", "A", None]
    assert items.table["tags"].tolist() == ["new|eco", "eco", ""]
    assert items.features is not None
    values = dict(zip(items.features.names, np.asarray(items.features.values).T.tolist(), strict=True))
    # Values of a list share a weight of 1.
    assert (values["brand=x"], values["tags=eco"]) == ([1, 0, 1], [0.5, 1, 0])
    assert any(name.startswith("released") for name in values)


@pytest.mark.parametrize("tags", [[["a|b"], ["c"], ["c", "a"]], ["a|b;c", "c", "a"]], ids=["lists", "text"])
def test_values_that_contain_the_separator_of_filters_are_left_out_of_them(
    tags: list, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Otherwise, where="'a' in tags" would list the item whose only value is "a|b"."""
    parquet.write_table(pa.table({"sku": [1, 2, 3], "tags": tags}), tmp_path / "items.parquet")
    side = read_side_table(tmp_path / "items.parquet", "sku", "data.items")
    items = describe_items(side, "title", Options(None, (), ";"), "data.items")
    assert "tags" not in items.table
    assert items.features.names == ["tags=a", "tags=a|b", "tags=c"]
    assert "column 'tags': the value 'a|b' contains \"|\", so where= cannot use the column" in caplog.text


def test_a_title_may_contain_the_separator_of_filters(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "items.csv").write_text("sku;title;brand\n1;Tea | Green;x\n2;Coffee;y\n3;Milk;x\n")
    side = read_side_table(tmp_path / "items.csv", "sku", "data.items", "title")
    items = describe_items(side, "title", Options(None, (), ","), "data.items")
    assert items.table["title"].tolist() == ["Tea | Green", "Coffee", "Milk"]
    assert "where=" not in caplog.text


@pytest.mark.parametrize("store_schema", [True, False])
@pytest.mark.parametrize("kind", ["text", "list", "struct", "list of lists", "binary"])
def test_equal_texts_in_parquet_do_not_fill_the_memory(kind: str, store_schema: bool, tmp_path: Path) -> None:
    path = tmp_path / "items.parquet"
    write_large({"item": pa.array(range(ROWS)), "column": large_column(kind)}, path, store_schema)
    before = pa.total_allocated_bytes()
    pa.default_memory_pool().release_unused()
    if kind in ("text", "list"):
        with pytest.raises(DataError, match=r"column 'column' has texts of more than .* bytes in all"):
            read_side_table(path, "item", "data.items")
    else:
        assert read_side_table(path, "item", "data.items").columns.column_names == []
    assert pa.total_allocated_bytes() - before < 10**8


def test_ids_of_other_types_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "items.parquet"
    for values in ([{"a": 1}], [[1]], [b"a"], [1.5]):
        parquet.write_table(pa.table({"item": values}), path)
        with pytest.raises(DataError, match=r"column 'item' has the type .*; ids must be"):
            read_side_table(path, "item", "data.items")


def test_titles_and_codes_of_digits_are_text(tmp_path: Path) -> None:
    path = tmp_path / "items.csv"
    path.write_text("item,title,ean,stock,share\n1,010,005,10,0.5\n2,0010,12,0,0\n3,7,7,7,1\n")
    columns = read_side_table(path, "item", "data.items", "title").columns.to_pydict()
    assert columns["title"] == ["010", "0010", "7"]
    assert columns["ean"] == ["005", "12", "7"]
    assert columns["stock"] == [10, 0, 7]
    assert columns["share"] == [0.5, 0, 1]


def test_the_log_lists_the_columns_that_are_features(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    vectors = pa.array([[0.1, 0.2], [0.3, 0.1], [0.2, 0.5]], pa.list_(pa.float32(), 2))
    columns = {"sku": [1, 2, 3], "brand": ["x", "y", "x"], "price": [1.0, None, 3.0], "text": vectors}
    parquet.write_table(pa.table(columns), tmp_path / "items.parquet")
    side = read_side_table(tmp_path / "items.parquet", "sku", "data.items")
    with caplog.at_level("INFO"):
        describe_items(side, "title", Options(None, (), "|"), "data.items")
    assert caplog.messages == ["data.items: features brand (2), price (2), text (2)"]
