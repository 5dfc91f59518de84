"""Filters of items by their columns: where="price<20 and 'vegan' in tags"."""

import ast
import operator
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

    The expression has the syntax of Python and is parsed, never executed. A missing value fulfils no comparison. Text
    with several values ("tea|herbal") is compared with `in`; capitals count.

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
    except (SyntaxError, ValueError, TypeError, KeyError, RecursionError, MemoryError):
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
        if isinstance(right, ast.Name):
            value, column = _value(left), _column(right, items)
            found = np.array([value in str(text).split("|") for text in column], dtype=bool)
        else:
            found = _column(left, items).isin(_value(right)).to_numpy(bool)
        return found if isinstance(comparison, ast.In) else ~found
    compare = COMPARISONS[type(comparison)]
    if isinstance(left, ast.Name):
        column, value = _column(left, items), _value(right)
        return _mask(compare(column, _like(column, value)), column)
    column, value = _column(right, items), _value(left)
    return _mask(compare(_like(column, value), column), column)


def _mask(result: pd.Series, column: pd.Series) -> NDArray[np.bool_]:
    return (result.fillna(False).astype(bool) & column.notna()).to_numpy(bool)


def _like(column: pd.Series, value: Any) -> Any:
    """Return a value as the type of a column: a date for dates; otherwise it must be of the same kind."""
    if column.dtype.kind == "M":
        return pd.Timestamp(value)
    if pd.api.types.is_numeric_dtype(column) != isinstance(value, int | float) or isinstance(value, bool):
        raise ConfigError(
            f"where: column {column.name!r} has {'numbers' if pd.api.types.is_numeric_dtype(column) else 'text'}, "
            f"{value!r} is not"
        )
    return value


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
