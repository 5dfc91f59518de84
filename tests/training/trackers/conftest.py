import json
from pathlib import Path

import pytest


@pytest.fixture
def job_folder(tmp_path: Path):
    """Return a function that returns the folder of a job of a sweep over seeds."""
    sweep = tmp_path / "sweep"
    sweep.mkdir()
    (sweep / "sweep.json").write_text(json.dumps({"swept": ["seed"], "pruner": None, "id": "0"}))
    return lambda number: sweep / str(number)
