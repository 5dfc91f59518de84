"""Checks of the type of a pyarrow column."""

import pyarrow as pa

ID_TYPES = "ids must be whole numbers or text"  # in messages about other types


def is_text(kind: pa.DataType) -> bool:
    """Return whether a type is that of text, also as a dictionary."""
    if pa.types.is_dictionary(kind):
        return is_text(kind.value_type)
    return pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)


def is_list(kind: pa.DataType) -> bool:
    """Return whether a type is that of lists, of any or of one length."""
    return pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)


def value_of(scalar: pa.Scalar) -> object:
    """Return a value for a message, or its type: Python lacks some dates and time zones that Parquet files have."""
    try:
        return scalar.as_py()
    except (ValueError, OverflowError, pa.ArrowException):
        return f"of type {scalar.type}"


def is_number(kind: pa.DataType) -> bool:
    """Return whether a type is that of numbers."""
    return pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)
