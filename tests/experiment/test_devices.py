"""A run answers the same on a GPU as on a CPU, whichever of them trained it."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from support.finished import LEARNED, finished_run

from recsys import Recommender
from recsys.cli.explore import explore
from recsys.experiment.evaluate import evaluate

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"),
]


@pytest.fixture(scope="module", params=["cpu", "gpu"])
def run(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp(request.param) / "run"
    return finished_run(folder, [*LEARNED, f"hardware={request.param}", "snapshots=2"])


def test_metrics_are_the_same(run: Path) -> None:
    on_cpu, on_gpu = (pd.DataFrame(evaluate(str(run), device=device)) for device in ("cpu", "cuda"))
    pd.testing.assert_frame_equal(on_gpu, on_cpu, atol=1e-4)


def test_answers_are_the_same(run: Path) -> None:
    on_cpu, on_gpu = (Recommender.load(run, device=device) for device in ("cpu", "cuda"))
    users = on_cpu.user_ids.ids
    items = on_cpu.catalogue.ids.ids[:20]
    np.testing.assert_allclose(
        on_gpu.predict(users[:, None], items), on_cpu.predict(users[:, None], items), atol=1e-4
    )
    top, expected = (one.recommend(users, k=5)["prediction"] for one in (on_gpu, on_cpu))
    np.testing.assert_allclose(top, expected, atol=1e-4)
    near, expected = (one.similar_items(items, k=5)["similarity"] for one in (on_gpu, on_cpu))
    np.testing.assert_allclose(near, expected, atol=1e-4)
    new, expected = (one.fold_in({1: 5.0, 2: 1.0}).recommend(k=5)["prediction"] for one in (on_gpu, on_cpu))
    np.testing.assert_allclose(new, expected, atol=1e-3)


def test_a_report_is_the_same(run: Path) -> None:
    on_cpu, on_gpu = (explore(str(run), top=50, device=device)[0] for device in ("cpu", "cuda"))
    pd.testing.assert_frame_equal(on_gpu.correlations, on_cpu.correlations, atol=1e-2)
