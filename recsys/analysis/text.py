"""Phrases for captions and tables: p-values, correlations, enumerations."""

import math
from collections.abc import Sequence

import pandas as pd


def format_p_value(p: float) -> str:
    """Return a p-value with one significant digit; values that underflow to 0 as "< 1e-300"."""
    return f"{p:.1g}" if p > 0 else "< 1e-300"


def format_correlation(r: float) -> str:
    """Return a correlation such as "+0.85"; NaN, where there is none, as ""."""
    return "" if math.isnan(r) else f"{r:+.2f}"


def describe_correlations(correlations: pd.DataFrame) -> str:
    """Return a phrase such as "mean rating (+0.85) and year (-0.31)".

    Args:
        correlations: rows of the table of `correlate`, all significant.
    """
    rows = correlations.to_dict("records")
    return (
        join_words([f"{row['property']} ({row['r']:+.2f})" for row in rows]) or "no significant correlation"
    )


def describe_partial_correlations(correlations: pd.DataFrame) -> str:
    """Return a phrase such as "Drama drops from +0.28 to +0.10".

    Args:
        correlations: rows of the table of `correlate`, at least one.
    """
    return join_words([_change(row) for row in correlations.to_dict("records")])


def join_words(words: Sequence[str]) -> str:
    """Return an enumeration such as "a, b and c".

    >>> join_words(["a", "b", "c"])
    'a, b and c'
    """
    return " and ".join(filter(None, [", ".join(words[:-1]), *words[-1:]]))


def _change(row: dict) -> str:
    before, after = f"{row['r']:+.2f}", f"{row['partial']:+.2f}"
    if before == after:
        return f"{row['property']} stays at {before}"
    return f"{row['property']} {'drops' if row['partial'] < row['r'] else 'rises'} from {before} to {after}"
