"""The average of snapshots and the current scorer is measured; each snapshot scores a validation batch once."""

import pytest
import torch
from support.networks import randomise
from support.training import synthetic_data

from recsys.data.batches import Batches, to_tensors
from recsys.data.datamodule import MovieLensDataModule
from recsys.evaluation.rating_metrics import rating_metrics
from recsys.evaluation.relevance_weight import WEIGHTS
from recsys.models.hybrid import HybridNet
from recsys.models.matrix_factorization import MatrixFactorization
from recsys.models.scorer import Scorer
from recsys.models.table_scorer import TableScorer
from recsys.training.evaluation import Evaluation
from recsys.training.losses import Joint, Pointwise

CPU = torch.device("cpu")


def changed(network: MatrixFactorization, seed: int) -> None:
    """Give a network other weights."""
    torch.manual_seed(seed)
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.5)


def test_snapshots_score_a_validation_batch_once(monkeypatch: pytest.MonkeyPatch) -> None:
    data = synthetic_data()
    batches = list(Batches(to_tensors(data.dataset, data.split.val, "cpu"), 30))
    network = MatrixFactorization.from_data(data, embedding_dim=4)
    evaluation = Evaluation(network, Pointwise())
    scored: list[Scorer] = []
    forward = TableScorer.forward

    def counted(self: TableScorer, users: torch.Tensor, items: torch.Tensor) -> torch.Tensor:
        scored.append(self)
        return forward(self, users, items)

    monkeypatch.setattr(TableScorer, "forward", counted)
    for epoch in range(4):
        changed(network, epoch)
        evaluation.start(CPU)
        scored.clear()
        for number, batch in enumerate(batches):
            evaluation.add(batch, number)
        assert scored == [evaluation.scorer] * len(batches), "snapshots were scored when they were current"
        expected = rating_metrics(evaluation.outcome, batches, "val")
        assert evaluation.metrics("val", data) == pytest.approx(expected, rel=1e-6)
        evaluation.snapshots = [*evaluation.snapshots, evaluation.scorer][-2:]


def test_other_batches_are_scored_by_all() -> None:
    """A loader of another package may shuffle, and the test set has other batches with the same numbers."""
    data = synthetic_data()
    network = MatrixFactorization.from_data(data, embedding_dim=4)
    evaluation = Evaluation(network, Pointwise())
    for seed in (1, 2):
        changed(network, seed)
        evaluation.start(CPU)
        evaluation.snapshots.append(evaluation.scorer)
    evaluation.start(CPU)
    for subset in ("val", "test"):
        batches = list(Batches(to_tensors(data.dataset, getattr(data.split, subset), "cpu"), 30))
        evaluation.start(CPU)
        for batch in batches:
            evaluation.add(batch)
        expected = rating_metrics(evaluation.outcome, batches, subset)
        assert evaluation.metrics(subset, data) == pytest.approx(expected, rel=1e-6)


def joint_network(data: MovieLensDataModule) -> HybridNet:
    torch.manual_seed(0)
    network = HybridNet.from_data(data, head="ordinal", choice=True, hidden=[])
    randomise(network)
    return network.eval()


def test_a_joint_loss_has_curves_of_ratings_and_rankings() -> None:
    data = synthetic_data()
    evaluation = Evaluation(joint_network(data), Joint())
    evaluation.start(CPU)
    for number, batch in enumerate(data.full("val")):
        evaluation.add(batch, number)
    curves = evaluation.curves(data)
    assert list(curves) == ["val/rmse", "val/mae", "val/ndcg@10", "val/recall@10"]
    ranked = evaluation.ranking_task("val", data).measure(evaluation.scorer)
    assert curves["val/ndcg@10"] == pytest.approx(ranked["val/ndcg@10"], rel=1e-6)
    assert evaluation.metrics("val", data) == pytest.approx(
        rating_metrics(evaluation.outcome, data.full("val"), "val") | ranked, rel=1e-6
    )


def test_the_weight_that_ranks_best_is_chosen_and_kept() -> None:
    data = synthetic_data()
    network = joint_network(data)
    evaluation = Evaluation(network, Joint())
    evaluation.start(CPU)
    evaluation.add(next(iter(data.full("val"))))
    evaluation.curves(data)
    task = evaluation.ranking_task("val", data)
    ndcg = {}
    for weight in WEIGHTS:
        network.choice.relevance_weight.fill_(weight)
        ndcg[weight] = task.measure(network.scorer())["val/ndcg@10"]
    assert len(set(ndcg.values())) > 1
    best = max(WEIGHTS, key=ndcg.__getitem__)
    assert evaluation.scorer.relevance_weight == best
    evaluation.start(CPU)
    evaluation.add(next(iter(data.full("val"))))
    evaluation.curves(data)
    assert network.choice.relevance_weight == best
    assert network.scorer().relevance_weight == best, (
        "later scorers, such as that of Trainer.test, have it too"
    )


def test_a_joint_loss_needs_no_ranking_metrics() -> None:
    data = synthetic_data()
    data.ranking_k = 0
    evaluation = Evaluation(joint_network(data), Joint())
    evaluation.start(CPU)
    evaluation.add(next(iter(data.full("val"))))
    assert list(evaluation.curves(data)) == ["val/rmse", "val/mae"]
    assert list(evaluation.metrics("val", None)) == ["val/rmse", "val/mae"], "nor the data module"
