"""Losses equal their formulas, and networks trained with ranking losses rank well."""

from math import exp, log
from pathlib import Path

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from support.tiny import PLAIN, QUICK
from support.training import synthetic_data, train_result

from recsys.data.batches import Batch
from recsys.errors import ConfigError, DataError
from recsys.evaluation.objective import Objective
from recsys.evaluation.ranking_metrics import RankingTask
from recsys.models.base import RatingNetwork
from recsys.models.bias import Bias
from recsys.models.hybrid import HybridNet
from recsys.models.matrix_factorization import MatrixFactorization
from recsys.runs.checkpoint import load_checkpoint
from recsys.runs.folder import checkpoint_in
from recsys.training.build import build_data
from recsys.training.losses import BPR, Joint, Loss, Pointwise, RankingLoss, SampledSoftmax
from recsys.training.module import RatingModule

SCORES = [0.5, -1.0, 2.0]


@pytest.fixture
def network() -> RatingNetwork:
    """Gives three items the scores SCORES, for every user."""
    network = Bias(2, 3, [1, 5], mean=0.0)
    network.item_bias.weight.data[:, 0] = torch.tensor(SCORES)
    return network


@pytest.fixture
def batch() -> Batch:
    """Items 2 and 0 are relevant, item 1 is not."""
    users, items = torch.tensor([0, 1, 1], dtype=torch.int32), torch.tensor([2, 0, 1], dtype=torch.int32)
    return Batch(users, items, torch.tensor([5.0, 4.0, 3.0]))


def sampled_items(shape: tuple[int, int], seed: int = 7) -> torch.Tensor:
    return torch.randint(3, shape, generator=torch.Generator().manual_seed(seed), dtype=torch.int32)


def test_pointwise_is_the_loss_of_the_network(network: RatingNetwork, batch: Batch) -> None:
    errors = [2.0 - 5, 0.5 - 4, -1.0 - 3]
    assert Pointwise()(network, batch).item() == pytest.approx(np.mean(np.square(errors)))
    ordinal = Bias(2, 3, [1, 5], 3.0, rating_values=[1, 2, 3, 4, 5], head="ordinal")
    assert torch.equal(Pointwise()(ordinal, batch), ordinal.loss(*batch))


@pytest.mark.parametrize(
    ("options", "positives"),
    [({}, [2, 0]), ({"positives": "all"}, [2, 0, 1]), ({"threshold": 5}, [2]), ({"threshold": 3}, [2, 0, 1])],
)
def test_bpr_equals_its_formula(
    network: RatingNetwork, batch: Batch, options: dict, positives: list[int]
) -> None:
    loss = BPR(negatives=4, **options)(network, batch, torch.Generator().manual_seed(7))
    terms = [
        -log(1 / (1 + exp(SCORES[negative] - SCORES[positive])))
        for positive, negatives in zip([2, 0, 1], sampled_items((3, 4)).tolist(), strict=True)
        for negative in negatives
        if positive in positives
    ]
    assert loss.item() == pytest.approx(np.mean(terms), rel=1e-5)


@pytest.mark.parametrize("temperature", [1.0, 0.5])
def test_sampled_softmax_equals_its_formula(network: RatingNetwork, batch: Batch, temperature: float) -> None:
    loss = SampledSoftmax(negatives=4, temperature=temperature)
    value = loss(network, batch, torch.Generator().manual_seed(7))
    terms = []
    for positive, negatives in zip(
        [2, 0], sampled_items((3, 4)).tolist()[:2], strict=True
    ):  # 1 is not relevant
        weights = [exp(SCORES[item] / temperature) for item in (positive, *negatives)]
        terms.append(-log(weights[0] / sum(weights)))
    assert value.item() == pytest.approx(np.mean(terms), rel=1e-5)


@pytest.mark.parametrize("loss", [BPR(), SampledSoftmax()], ids=["bpr", "softmax"])
def test_a_batch_without_relevant_items_has_no_gradient(
    loss: RankingLoss, network: RatingNetwork, batch: Batch
) -> None:
    value = loss(network, batch._replace(ratings=torch.ones(3)))
    value.backward()
    assert value.item() == 0
    assert not network.item_bias.weight.grad.any()


@pytest.mark.parametrize("loss", [BPR(negatives=3), SampledSoftmax(negatives=3)], ids=["bpr", "softmax"])
def test_each_item_is_compared_for_its_own_user(loss: RankingLoss) -> None:
    """Only users of the batch, and only positive and sampled items, have a gradient."""
    torch.manual_seed(0)
    network = MatrixFactorization(4, 50, [1, 5], 3.0, embedding_dim=3, init_std=1.0)
    batch = Batch(torch.tensor([2, 1]), torch.tensor([5, 6]), torch.tensor([5.0, 1.0]))
    loss(network, batch, torch.Generator().manual_seed(1)).backward()
    negatives = torch.randint(50, (2, 3), generator=torch.Generator().manual_seed(1))[0]
    assert network.user_embedding.weight.grad.abs().sum(1).nonzero().flatten().tolist() == [2]
    with_gradient = network.item_embedding.weight.grad.abs().sum(1).nonzero().flatten().tolist()
    assert with_gradient == sorted({5, *negatives.flatten().tolist()})


@pytest.mark.parametrize(
    "loss", [BPR(), SampledSoftmax(positives="all"), Pointwise()], ids=["relevant", "all", "ratings"]
)
def test_batches_have_the_ratings_that_the_loss_trains(loss: Loss, tmp_path: Path) -> None:
    data = synthetic_data(batch_size=100)
    network = MatrixFactorization.from_data(data)
    trainer = pl.Trainer(
        accelerator="cpu",
        max_epochs=1,
        default_root_dir=tmp_path,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        limit_val_batches=0,
    )
    trainer.fit(RatingModule(network, loss=loss), data)
    trained = torch.cat([batch.ratings for batch in data.train_dataloader()])
    every = torch.from_numpy(data.dataset.ratings[data.split.train])
    expected = every[every >= 4] if isinstance(loss, BPR) else every
    assert torch.equal(trained.sort().values, expected.sort().values)


def test_a_training_set_without_positives_is_an_error(compose, tmp_path: Path) -> None:
    data = synthetic_data()
    data.selected = BPR(threshold=5.5).selected
    with pytest.raises(DataError, match=r"no rating of the training set is that high"):
        data.train_dataloader()


@pytest.mark.parametrize("head", ["linear", "ordinal"])
def test_joint_adds_ratings_and_weighted_choices(head: str) -> None:
    data = synthetic_data()
    torch.manual_seed(0)
    network = HybridNet.from_data(data, head=head, choice=True, hidden=[], init_std=0.5)
    batch = Batch(*(column[:50] for column in data.full("train").columns))
    ratings, choices = network.joint_losses(*batch, negatives=9)
    assert torch.equal(ratings, network.loss(*batch))
    vectors = [network.tables(side)[f"{side}_embedding"].weight for side in ("user", "item")]
    expected = network.choice.loss(
        batch.users, batch.items, (vectors[0][batch.users], vectors[1][batch.items]), 9
    )
    torch.testing.assert_close(choices, expected)
    value = Joint(weight=0.25, negatives=9)(network, batch)
    torch.testing.assert_close(value, ratings + 0.25 * choices)


def test_joint_needs_a_network_that_learns_choices() -> None:
    data = synthetic_data()
    with pytest.raises(ConfigError, match=r"use model=history or model=neumf"):
        Joint()(MatrixFactorization.from_data(data), next(iter(data.full("train"))))


def test_a_loss_knows_its_objective() -> None:
    assert Joint().objective(5) == Objective("val/rmse", "min")
    assert (Joint().predicts_ratings, Joint().ranks) == (True, True)
    assert [loss.ranks for loss in (Pointwise(), BPR())] == [False, True]
    assert Pointwise().objective(5) == Objective("val/rmse", "min")
    assert BPR().objective(5) == Objective("val/ndcg@5", "max")
    assert (Pointwise().predicts_ratings, SampledSoftmax().predicts_ratings) == (True, False)


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ratings of 4 groups of users and items: which items are rated depends on the group, the rating does not."""
    random = np.random.default_rng(0)
    users, items = 240, 160
    same_group = np.arange(users)[:, None] % 4 == np.arange(items) % 4
    rated = random.random((users, items)) < np.where(same_group, 0.45, 0.03)
    path = tmp_path_factory.mktemp("watched") / "ratings.csv"
    lines = [f"{user},{item},{random.integers(3, 6)}" for user, item in np.argwhere(rated)]
    path.write_text("\n".join(["user,item,rating", *lines]) + "\n")
    return path


NO_DROPOUT = ["model.dropouts=0", "model.embedding_dropout=0"]


@pytest.mark.slow
@pytest.mark.parametrize("model", [["matrix-factorization"], ["embedding-net", *NO_DROPOUT]], ids=str)
def test_ranking_losses_rank_better_than_popularity_and_pointwise(
    compose, watched: Path, tmp_path: Path, model: list[str]
) -> None:
    """Popularity knows no groups, and ratings do not depend on them."""
    options = [
        "data=table",
        f"data.path={watched}",
        *PLAIN[1:],
        "batch_size=500",
        "hardware=cpu",
        "logger=none",
    ]
    options += ["model.embedding_dim=8", "optimizer.lr=0.02", "optimizer.weight_decay=1e-5", "max_epochs=12"]
    options += [f"model={model[0]}", *model[1:]]
    results = {
        loss: train_result(compose(*options, f"loss={loss}"), tmp_path / loss)
        for loss in ("pointwise", "bpr", "softmax")
    }
    ndcg = {loss: result["metrics"]["test/ndcg@10"] for loss, result in results.items()}
    popularity = results["bpr"]["baselines"]["popularity"]["test/ndcg@10"]
    for loss in ("bpr", "softmax"):
        assert ndcg[loss] > 1.5 * max(popularity, ndcg["pointwise"])


@pytest.mark.slow
def test_a_joint_loss_ranks_and_predicts_ratings(compose, watched: Path, tmp_path: Path) -> None:
    """Ratings are noise here, so that no model predicts them better than their mean."""
    options = ["data=table", f"data.path={watched}", "batch_size=500", "hardware=cpu", "logger=none"]
    options += ["max_epochs=12", "optimizer.lr=0.01", "snapshots=2"]
    joint = train_result(compose(*options, "loss=joint"), tmp_path / "joint")
    ratings = train_result(compose(*options, "loss=pointwise"), tmp_path / "pointwise")
    others = joint["baselines"]["popularity"], ratings["metrics"]
    assert joint["metrics"]["test/ndcg@10"] > 1.5 * max(other["test/ndcg@10"] for other in others)
    assert joint["metrics"]["test/rmse"] < 1.05 * joint["baselines"]["global-mean"]["test/rmse"]
    assert joint["objective"]["name"] == "val/rmse"


@pytest.mark.slow
@pytest.mark.parametrize("loss", ["bpr", "softmax"])
def test_a_ranking_loss_selects_weights_by_ndcg_and_has_no_rating_metrics(
    compose, tmp_path: Path, loss: str
) -> None:
    overfit = ["optimizer.lr=0.03", "model.dropouts=0", "model.embedding_dropout=0", "batch_size=100"]
    cfg = compose(
        *QUICK, *overfit, f"loss={loss}", "max_epochs=12", "patience=4", "ranking.k=5", "schedule=constant"
    )
    result = train_result(cfg, tmp_path / "run")
    objective = result["objective"]
    assert (objective["name"], objective["mode"]) == ("val/ndcg@5", "max")
    assert objective["value"] == result["metrics"]["val/ndcg@5"]
    assert not [name for name in result["metrics"] if "rmse" in name or "mae" in name]
    assert set(result["baselines"]["global-mean"]) == {"test/rmse", "test/mae"}
    data = build_data(cfg)
    data.setup()
    task = RankingTask.of(data.dataset, data.split, "val", 5)
    best, last = (load_checkpoint(checkpoint_in(tmp_path / "run", name)) for name in ("best", "last"))
    assert not best.scorer.predicts_ratings
    ndcg = {saved.epoch: task.measure(saved.scorer)["val/ndcg@5"] for saved in (best, last)}
    assert ndcg[best.epoch] == pytest.approx(objective["value"], rel=1e-9)
    assert best.epoch == objective["epoch"] < last.epoch
    assert ndcg[last.epoch] < ndcg[best.epoch]  # higher is better


@pytest.mark.slow
def test_the_seed_decides_the_sampled_items(compose, tmp_path: Path) -> None:
    metrics = []
    for number in range(2):
        torch.manual_seed(number)  # the state of torch's generator must not matter
        metrics.append(train_result(compose(*QUICK, "loss=bpr"), tmp_path / str(number))["metrics"])
    assert metrics[0] == metrics[1]


@pytest.mark.slow
def test_no_relevant_ratings_are_an_error_for_ranking_and_a_warning_for_ratings(
    compose, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    rows = [f"{user},{item},{1 + (user + item) % 3}" for user in range(20) for item in range(20)]
    (tmp_path / "low.csv").write_text("\n".join(["user,item,rating", *rows]) + "\n")
    low = ["data=table", f"data.path={tmp_path / 'low.csv'}", "max_epochs=2", "hardware=cpu", "logger=none"]
    with pytest.raises(DataError, match=r"ranking.threshold=4: .* val "):
        train_result(compose(*low, "loss=bpr"), tmp_path / "ranking")
    result = train_result(compose(*low), tmp_path / "ratings")
    assert "ranking.threshold=4: no rating of the test set" in caplog.text
    assert set(result["metrics"]) == {"val/rmse", "val/mae", "test/rmse", "test/mae"}
    assert result["ranking"] is None


def test_ranking_metrics_can_be_switched_off(compose, tmp_path: Path) -> None:
    result = train_result(compose(*QUICK, "ranking.k=0"), tmp_path / "run")
    assert set(result["metrics"]) == {"val/rmse", "val/mae", "test/rmse", "test/mae"}
    assert set(result["baselines"]) == {"global-mean", "user-item-bias"}
