import pandas as pd
import pytest

from recsys.errors import ConfigError
from recsys.inference.where import rows_where

ITEMS = pd.DataFrame(
    {
        "title": ["Mint tea", "Green tea", "Mug", "Unknown"],
        "price": [4.5, 20.0, 12.0, None],
        "tags": ["tea|herbal", "tea", "", ""],
        "brand": ["Acme", "Bolt", "", ""],
        "added": pd.to_datetime(["2026-01-01", "2026-06-01", None, "2025-01-01"]),
    }
)


@pytest.mark.parametrize(
    ("expression", "rows"),
    [
        ("price<20", [0, 2]),
        ("price <= 20", [0, 1, 2]),
        ("20 > price", [0, 2]),
        ("5 < price < 20", [2]),
        ("price != 12", [0, 1]),  # a missing price fulfils no comparison
        ("not price<20", [1, 3]),
        ("'tea' in tags", [0, 1]),
        ("'herbal' not in tags and price<20", [2]),
        ("title=='Mug' or 'herbal' in tags", [0, 2]),
        ("title in ['Mug', 'Green tea']", [1, 2]),
        ("price in (4.5, 12)", [0, 2]),
        ("added >= '2026-01-01'", [0, 1]),
        ("added<'2026-01-01' or (price==20 and 'tea' in tags)", [1, 3]),
        ("price > -1", [0, 1, 2]),
        ("price not in [20]", [0, 2]),
        ("added in ['2026-06-01', '2025-01-01']", [1, 3]),
        ("added not in ['2026-06-01']", [0, 3]),
        ("brand != 'Acme'", [1]),  # a missing brand fulfils no comparison
        ("brand < 'B'", [0]),
        ("'vegan' not in tags", [0, 1, 2, 3]),
    ],
)
def test_rows_that_fulfil_a_condition(expression: str, rows: list[int]) -> None:
    assert rows_where(ITEMS, expression).nonzero()[0].tolist() == rows


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("cost<20", "the items have no column 'cost'; they have 'title', 'price', 'tags', 'brand', 'added'"),
        ("price<'a'", "column 'price' has numbers; 'a' is not"),
        ("title<3", "column 'title' has text; '3' is not"),
        ("price<True", "column 'price' has numbers; 'True' is not"),
        ("added<'soon'", "column 'added' has dates, such as '2026-11-27'; 'soon' is not"),
        ("added<'now'", "column 'added' has dates, such as '2026-11-27'; 'now' is not"),
        ("added>'2026Q1'", "column 'added' has dates, such as '2026-11-27'; '2026Q1' is not"),
        ("added>'-1'", "column 'added' has dates, such as '2026-11-27'; '-1' is not"),
        ("added>2020", "column 'added' has dates, such as '2026-11-27'; '2020' is not"),
        ("price in ['a']", "column 'price' has numbers; 'a' is not"),
        ("5 in tags", "5 in tags: needs a text, and a column of texts"),
        ("'nan' in price", "'nan' in price: needs a text, and a column of texts"),
        ("price<1" + "0" * 400, "cannot be used; possible are comparisons"),
        *[
            (text, "cannot be used; possible are comparisons")
            for text in (
                "",
                "price",
                "price<",
                "1<2",
                "price<price",
                "print(1)",
                "__import__('os').system('true')",
                "title.str.len()<3",
                "price<(1).bit_length()",
                "[x for x in title]",
                "(lambda: 1)()<price",
                "price<1e999+1",
                "f'{1}'==title",
                "price is None",
                "\0",
                "(" * 500,
                "not " * 200 + "price<1",
            )
        ],
        ("price<" + "1" * 1000, "at most 1000 characters"),
    ],
)
def test_other_expressions_are_refused_and_never_executed(expression: str, message: str) -> None:
    if expression.startswith("not"):  # deep, but valid
        assert rows_where(ITEMS, expression).sum() == 0
        return
    with pytest.raises(ConfigError, match="where") as error:
        rows_where(ITEMS, expression)
    assert message in str(error.value)
