import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture
def conf(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Make mypkg importable; return the override that adds its configuration files."""
    monkeypatch.syspath_prepend(EXAMPLES / "mypkg")
    yield f"hydra.searchpath=[file://{EXAMPLES / 'mypkg' / 'conf'}]"
    for name in [name for name in sys.modules if name.split(".")[0] == "mypkg"]:
        del sys.modules[name]
