"""Losses, by their formulas, and what networks trained on them are good for."""

from math import exp, log
from pathlib import Path

import numpy as np
import pytest
import torch
from support.tiny import PLAIN, QUICK

from recsys.data.batches import Batch
from recsys.errors import DataError
from recsys.evaluation.ranking_metrics import RankingTask
from recsys.experiment.train import train
from recsys.models.base import RatingNetwork
from recsys.models.bias import Bias
from recsys.models.matrix_factorization import MatrixFactorization
from recsys.runs.checkpoint import load_checkpoint
from recsys.training.build import build_data
from recsys.training.losses import bpr, pointwise, softmax

SCORES = [0.5, -1.0, 2.0]


@pytest.fixture
def network() -> RatingNetwork:
    """Scores three items by SCORES, whoever asks."""
    made = Bias(2, 3, [1, 5], mean=0.0)
    made.item_bias.weight.data[:, 0] = torch.tensor(SCORES)
    return made


@pytest.fixture
def batch() -> Batch:
    """Item 2 and item 0 are liked, item 1 is not."""
    rows = torch.tensor([0, 1, 1], dtype=torch.int32), torch.tensor([2, 0, 1], dtype=torch.int32)
    return Batch(*rows, torch.tensor([5.0, 4.0, 3.0]))


def drawn(shape: tuple[int, int], seed: int = 7) -> torch.Tensor:
    return torch.randint(3, shape, generator=torch.Generator().manual_seed(seed), dtype=torch.int32)


def test_pointwise_is_the_networks_own(network: RatingNetwork, batch: Batch, monkeypatch) -> None:
    errors = [2.0 - 5, 0.5 - 4, -1.0 - 3]
    assert pointwise(network, batch).item() == pytest.approx(np.mean(np.square(errors)))
    monkeypatch.setattr(network, "loss", lambda users, items, ratings: ratings.sum())
    assert pointwise(network, batch).item() == 12


@pytest.mark.parametrize(
    ("choices", "liked"),
    [({}, [2, 0]), ({"positives": "all"}, [2, 0, 1]), ({"threshold": 5}, [2]), ({"threshold": 3}, [2, 0, 1])],
)
def test_bpr_by_its_formula(network: RatingNetwork, batch: Batch, choices: dict, liked: list[int]) -> None:
    generator = torch.Generator().manual_seed(7)
    loss = bpr(network, batch, generator, negatives=4, **choices)
    terms = [
        -log(1 / (1 + exp(SCORES[other] - SCORES[item])))
        for item, others in zip(liked, drawn((len(liked), 4)).tolist(), strict=True)
        for other in others
    ]
    assert loss.item() == pytest.approx(np.mean(terms), rel=1e-5)


@pytest.mark.parametrize("temperature", [1.0, 0.5])
def test_softmax_by_its_formula(network: RatingNetwork, batch: Batch, temperature: float) -> None:
    generator = torch.Generator().manual_seed(7)
    loss = softmax(network, batch, generator, negatives=4, temperature=temperature)
    terms = []
    for item, others in zip([2, 0], drawn((2, 4)).tolist(), strict=True):
        weights = [exp(SCORES[one] / temperature) for one in (item, *others)]
        terms.append(-log(weights[0] / sum(weights)))
    assert loss.item() == pytest.approx(np.mean(terms), rel=1e-5)


@pytest.mark.parametrize("loss", [bpr, softmax])
def test_a_batch_without_a_liked_film_teaches_nothing(loss, network: RatingNetwork, batch: Batch) -> None:
    value = loss(network, batch._replace(ratings=torch.ones(3)))
    value.backward()
    assert value.item() == 0
    assert not network.item_bias.weight.grad.any()


@pytest.mark.parametrize("loss", [bpr, softmax])
def test_each_film_is_compared_for_its_own_user(loss) -> None:
    """Only rows of the users in the batch, and only rows of liked and of drawn items, have a gradient."""
    torch.manual_seed(0)
    network = MatrixFactorization(4, 50, [1, 5], 3.0, embedding_dim=3, init_std=1.0)
    batch = Batch(torch.tensor([2, 1]), torch.tensor([5, 6]), torch.tensor([5.0, 1.0]))
    generator = torch.Generator().manual_seed(1)
    loss(network, batch, generator, negatives=3).backward()
    others = torch.randint(50, (1, 3), generator=torch.Generator().manual_seed(1))
    assert network.user_embedding.weight.grad.abs().sum(1).nonzero().flatten().tolist() == [2]
    touched = network.item_embedding.weight.grad.abs().sum(1).nonzero().flatten().tolist()
    assert touched == sorted({5, *others.flatten().tolist()})


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What people watch goes by taste, what they think of it by chance: 4 kinds of people and of items."""
    random = np.random.default_rng(0)
    users, items = 240, 160
    own = np.arange(users)[:, None] % 4 == np.arange(items) % 4
    seen = random.random((users, items)) < np.where(own, 0.45, 0.03)
    path = tmp_path_factory.mktemp("watched") / "ratings.csv"
    lines = [f"{user},{item},{random.integers(3, 6)}" for user, item in np.argwhere(seen)]
    path.write_text("\n".join(["user,item,rating", *lines]) + "\n")
    return path


NO_DROPOUT = ["model.dropouts=0", "model.embedding_dropout=0"]


@pytest.mark.parametrize("model", [["matrix-factorization"], ["embedding-net", *NO_DROPOUT]], ids=str)
def test_a_model_for_lists_makes_better_lists(compose, watched: Path, tmp_path: Path, model: list) -> None:
    """Than popularity, which knows no taste, and than a model of ratings, in which there is none."""
    once = ["data=csv", f"data.path={watched}", *PLAIN[1:], "batch_size=500", "hardware=cpu", "logger=none"]
    once += ["model.embedding_dim=8", "optimizer.lr=0.02", "optimizer.weight_decay=1e-5", "max_epochs=12"]
    size = [f"model={model[0]}", *model[1:]]
    results = {
        loss: train(compose(*once, *size, f"loss={loss}"), tmp_path / loss)
        for loss in ("pointwise", "bpr", "softmax")
    }
    ndcg = {loss: result["metrics"]["test/ndcg@10"] for loss, result in results.items()}
    popularity = results["bpr"]["baselines"]["popularity"]["test/ndcg@10"]
    for loss in ("bpr", "softmax"):
        assert ndcg[loss] > 1.5 * max(popularity, ndcg["pointwise"])


@pytest.mark.parametrize("loss", ["bpr", "softmax"])
def test_lists_choose_the_weights_and_no_rating_error_is_told(compose, tmp_path: Path, loss: str) -> None:
    overfit = ["optimizer.lr=0.03", "model.dropouts=0", "model.embedding_dropout=0", "batch_size=100"]
    cfg = compose(
        *QUICK, *overfit, f"loss={loss}", "max_epochs=12", "patience=4", "ranking.k=5", "schedule=constant"
    )
    result = train(cfg, tmp_path)
    objective = result["objective"]
    assert (objective["name"], objective["mode"]) == ("val/ndcg@5", "max")
    assert objective["value"] == result["metrics"]["val/ndcg@5"]
    assert not [name for name in result["metrics"] if "rmse" in name or "mae" in name]
    assert set(result["baselines"]["global-mean"]) == {"test/rmse", "test/mae"}
    data = build_data(cfg)
    data.setup()
    task = RankingTask.of(data.dataset, data.split, "val", 5)
    trained = {name: load_checkpoint(tmp_path / "checkpoints" / f"{name}.ckpt") for name in ("best", "last")}
    best, last = (task.measure(trained[name].network)["val/ndcg@5"] for name in ("best", "last"))
    assert best == pytest.approx(objective["value"], rel=1e-9)
    assert trained["best"].epoch == objective["epoch"] < trained["last"].epoch
    assert last < best, "more is better"


def test_what_is_drawn_is_decided_by_the_seed(compose, tmp_path: Path) -> None:
    found = []
    for number in range(2):
        torch.manual_seed(number)  # what ran before in this process must not matter
        found.append(train(compose(*QUICK, "loss=bpr"), tmp_path / str(number))["metrics"])
    assert found[0] == found[1]


def test_nothing_relevant_is_an_error_for_lists_and_a_warning_for_ratings(
    compose, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    rows = [f"{user},{item},{1 + (user + item) % 3}" for user in range(20) for item in range(20)]
    Path("low.csv").write_text("\n".join(["user,item,rating", *rows]) + "\n")
    unheard = ["data=csv", "data.path=low.csv", "max_epochs=2", "hardware=cpu", "logger=none"]
    with pytest.raises(DataError, match=r"ranking.threshold=4: no rating of the val part"):
        train(compose(*unheard, "loss=bpr"), tmp_path / "lists")
    result = train(compose(*unheard), tmp_path / "ratings")
    assert "no ranking metrics: ranking.threshold=4: no rating of the test part" in caplog.text
    assert set(result["metrics"]) == {"val/rmse", "val/mae", "test/rmse", "test/mae"}
    assert result["ranking"] is None


def test_lists_can_be_left_out(compose, tmp_path: Path) -> None:
    result = train(compose(*QUICK, "ranking.k=0"), tmp_path)
    assert set(result["metrics"]) == {"val/rmse", "val/mae", "test/rmse", "test/mae"}
    assert set(result["baselines"]) == {"global-mean", "user-item-bias"}
