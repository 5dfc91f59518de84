"""Filters of items by their columns: where="price<20 and 'vegan' in tags"."""

import ast
import operator
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from recsys.errors import ConfigError, listed, shortened

MAX_LENGTH = 1000  # characters of an expression
COMPARISONS: dict[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
}
ALLOWED = (
    "comparisons of a column with a value (price<20, brand=='Acme', '2026-01-01'<=released), a value in a column "
    "('vegan' in tags), a column in a list (brand in ['Acme','Bolt']), and, or, not"
)


def rows_where(items: pd.DataFrame, expression: str) -> NDArray[np.bool_]:
    """Return which rows of a table fulfil an expression: bool (n,).

    The expression has the syntax of Python and is parsed, never executed. A missing value fulfils no comparison, but a
    text without values fulfils `'vegan' not in tags`. Capitals count.

    Args:
        items: the item table.
        expression: see `ALLOWED`.

    Raises:
        ConfigError: a column does not exist, or the expression is not possible.
    """
    if len(expression) > MAX_LENGTH:
        raise ConfigError(f"where={shortened(expression)}: at most {MAX_LENGTH} characters")
    try:
        tree = ast.parse(expression.strip(), mode="eval").body
        return _evaluate(tree, items)
    except (SyntaxError, ValueError, TypeError, KeyError, OverflowError, RecursionError, MemoryError):
        raise ConfigError(
            f"where={shortened(expression, 200)}: cannot be used; possible are {ALLOWED}"
        ) from None


def _evaluate(node: ast.expr, items: pd.DataFrame) -> NDArray[np.bool_]:
    if isinstance(node, ast.BoolOp):
        combine = np.logical_and if isinstance(node.op, ast.And) else np.logical_or
        return combine.reduce([_evaluate(value, items) for value in node.values])
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        return ~_evaluate(node.operand, items)
    if not isinstance(node, ast.Compare):
        raise ValueError
    operands = [node.left, *node.comparators]
    parts = [
        _compare(left, comparison, right, items)
        for left, comparison, right in zip(operands, node.ops, operands[1:], strict=False)
    ]
    return np.logical_and.reduce(parts)


def _compare(
    left: ast.expr, comparison: ast.cmpop, right: ast.expr, items: pd.DataFrame
) -> NDArray[np.bool_]:
    """Evaluate one comparison; one side is a column, the other a value or a list of values."""
    if isinstance(comparison, ast.In | ast.NotIn):
        if isinstance(right, ast.Name):  # 'vegan' in tags; no tags are a list without values
            column, value = _column(right, items), _value(left)
            if not isinstance(value, str) or not pd.api.types.is_string_dtype(column):
                raise ConfigError(f"where: {value!r} in {column.name}: needs a text, and a column of texts")
            found = np.array([value in text.split("|") for text in column], dtype=bool)
            known = np.ones(len(found), dtype=bool)
        else:
            column, values = _column(left, items), _value(right)
            if not isinstance(values, list | tuple):
                raise ValueError
            found = column.isin([_like(column, value) for value in values]).to_numpy(bool)
            known = _known(column)
        return (found if isinstance(comparison, ast.In) else ~found) & known
    compare = COMPARISONS[type(comparison)]
    if isinstance(left, ast.Name):
        column, value = _column(left, items), _value(right)
        result = compare(column, _like(column, value))
    else:
        column, value = _column(right, items), _value(left)
        result = compare(_like(column, value), column)
    return result.fillna(False).to_numpy(bool) & _known(column)


def _known(column: pd.Series) -> NDArray[np.bool_]:
    """Return where a column has a value; the empty text is none."""
    return (column.notna() & (column != "" if pd.api.types.is_string_dtype(column) else True)).to_numpy(bool)


def _like(column: pd.Series, value: Any) -> Any:
    """Return a value as the type of a column, with dates from text.

    Raises:
        ConfigError: it has another type.
    """
    kinds = {
        "numbers": pd.api.types.is_numeric_dtype(column),
        "dates": column.dtype.kind == "M",
        "text": True,
    }
    kind = next(name for name, is_kind in kinds.items() if is_kind)
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if is_number != (kind == "numbers") or (not is_number and not isinstance(value, str)):
        example = ", such as '2026-11-27'" if kind == "dates" else ""
        raise ConfigError(f"where: column {column.name!r} has {kind}{example}; {shortened(value)} is not")
    if kind != "dates":
        return value
    try:
        return parse_date(value)
    except ValueError:
        raise ConfigError(
            f"where: column {column.name!r} has dates, such as '2026-11-27'; {shortened(value)} is not"
        ) from None


def parse_date(text: str) -> pd.Timestamp:
    """Return the date or time that a text is; it begins with year and month (pandas also knows 'now' and '2026Q1').

    Raises:
        ValueError: it is none.
    """
    if not re.match(r"\d{4}-\d\d", text):
        raise ValueError(text)
    return pd.Timestamp(text)


def _column(node: ast.expr, items: pd.DataFrame) -> pd.Series:
    if not isinstance(node, ast.Name):
        raise ValueError
    if node.id not in items:
        raise ConfigError(
            f"where: the items have no column {node.id!r}; they have {listed(list(items.columns))}"
        )
    return items[node.id]


def _value(node: ast.expr) -> Any:
    """Return a number, a text, or a list of them."""
    value = ast.literal_eval(node)
    values = value if isinstance(value, list | tuple) else [value]
    if not all(isinstance(one, int | float | str) for one in values):
        raise ValueError
    return value
