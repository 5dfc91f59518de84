"""Random damage to files, for fuzzing with hypothesis."""

from collections.abc import Sequence

from hypothesis import strategies as st

SPECIAL = r"""\x00 \xff\xfe \xef\xbb\xbf \r \r\n \n \n\n \t , :: : ; \x20 " ' - -1 0 nan inf 1e3 0x1F 1_0
9223372036854775807 9223372036854775808 99999999999999999999999 \xc3\x9cn\xc3\xafcode \x1a 2524608000"""
TOKENS = [token.encode().decode("unicode_escape").encode("latin-1") for token in SPECIAL.split()]
QUOTES = [b'"', b'""', b'","', b'"\n', b'\n"', b'"\n"', b',"', b'",']
CHANGES = ("truncate", "replace", "repeat", "newlines", "separators")


@st.composite
def damaged(draw: st.DrawFn, data: bytes, separator: bytes, tokens: Sequence[bytes] = TOKENS) -> bytes:
    """A file after one to three random changes.

    Args:
        draw: given by hypothesis.
        data: the valid file.
        separator: the text between its fields.
        tokens: texts to insert.
    """
    for _ in range(draw(st.integers(1, 3))):
        start = draw(st.integers(0, len(data)))
        end = start + draw(st.sampled_from([0, 0, 1, 2, 5, 30]))
        change = draw(st.sampled_from(CHANGES))
        if change == "truncate":
            data = data[:start]
        elif change == "replace":
            data = data[:start] + draw(st.sampled_from(tokens) | st.binary(max_size=3)) + data[end:]
        elif change == "repeat":
            data = data + data[start:end]
        elif change == "newlines":
            data = data.replace(b"\r\n", b"\n").replace(b"\n", draw(st.sampled_from([b"\r\n", b"\n", b"\r"])))
        else:
            data = data.replace(separator, draw(st.sampled_from([b",", b"\t", b"::", b";", b"|"])), 3)
    return data
