from pathlib import Path

import pytest
from support.commands import run


@pytest.mark.slow
def test_titles_with_square_brackets_are_printed_as_they_are(tmp_path: Path) -> None:
    (tmp_path / "ratings.csv").write_text("user,item,rating\n1,[/b] one,4\n2,[/b] one,3.5\n1,[red]two,5\n")
    table = run("prepare", "data=table", "data.path=ratings.csv").stdout
    assert "[/b] one" in table
    assert "[red]two" in table
