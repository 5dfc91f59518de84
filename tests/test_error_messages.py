import pytest

from recsys.cli.app import check_choices
from recsys.errors import ConfigError, causes, listed, shortened


@pytest.mark.parametrize(
    ("value", "quoted", "text"),
    [
        ("heat", True, "'heat'"),
        ("heat", False, "heat"),
        (17, False, "17"),
        ("a\nb", False, r"'a\nb'"),
        ("x" * 60, True, f"'{'x' * 60}'"),
        ("x" * 100_000, True, f"'{'x' * 60}...' (100,000 characters)"),
        (10**70, False, f"1{'0' * 59}... (71 characters)"),
    ],
)
def test_long_values_are_cut(value: object, quoted: bool, text: str) -> None:
    assert shortened(value, quoted=quoted) == text


def test_integers_of_any_size_are_shown() -> None:
    assert shortened(10**5000, 5, quoted=False).startswith("0x31e... (")


def test_causes_that_form_a_circle_are_yielded_once() -> None:
    first, second, third = ValueError(), KeyError(), OSError()
    first.__cause__, second.__context__, third.__cause__ = second, third, first
    assert list(causes(first)) == [first, second, third]


def test_long_lists_are_cut() -> None:
    assert listed(["a", "b"]) == "'a', 'b'"
    assert listed([]) == ""
    assert listed(list(range(50)), 2) == "'0', '1', ... (50 in total)"


def test_numbers_of_too_many_digits_are_refused_before_hydra_reads_them() -> None:
    with pytest.raises(ConfigError, match=r"^data\.users=9{60}\.\.\. \(5,000 characters\): too many digits"):
        check_choices(["data.users=" + "9" * 5000])
    check_choices(["data.users=" + "9" * 4000])
