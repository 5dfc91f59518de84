"""The L2 penalty applies to the embeddings of a batch, once per rating."""

from pathlib import Path

import pytest
import torch
from support.networks import all_pairs_data, build_network
from support.tiny import QUICK
from support.training import train_result

from recsys.data.batches import Batch, to_tensors
from recsys.models.matrix_factorization import MatrixFactorization
from recsys.runs.checkpoint import load_checkpoint
from recsys.runs.folder import checkpoint_in
from recsys.training.losses import BPR, Pointwise
from recsys.training.regularization import L2Penalty


@pytest.mark.parametrize("is_dense", [False, True], ids=["as on a CPU", "as on a GPU"])
def test_the_penalty_equals_one_by_hand(is_dense: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("recsys.training.regularization.is_dense", lambda _: is_dense)
    network = MatrixFactorization(3, 2, (1, 5), 3.0, embedding_dim=2)
    with torch.no_grad():
        network.user_embedding.weight.copy_(torch.tensor([[1.0, 2.0], [3.0, 0.0], [9.0, 9.0]]))
        network.item_embedding.weight.copy_(torch.tensor([[1.0, 1.0], [0.0, 2.0]]))
        network.user_bias.weight.copy_(torch.tensor([[1.0], [2.0], [9.0]]))
    batch = Batch(torch.tensor([0, 0, 1]), torch.tensor([0, 1, 1]), torch.ones(3))
    penalty = L2Penalty(vectors=0.1, biases=0.5)(network, batch)
    # squared lengths of vectors: (5 + 5 + 9) + (2 + 4 + 4); of biases: 1 + 1 + 4; divided by three ratings
    assert isinstance(penalty, torch.Tensor)
    assert penalty.item() == pytest.approx((0.1 * 29 + 0.5 * 6) / 3)
    penalty.backward()
    assert network.user_embedding.weight.grad is not None
    # The gradient of 0.1 * |p|^2, twice for the first user, divided by three ratings; the third is not in the batch.
    expected = torch.tensor([[1.0, 2.0], [3.0, 0.0], [0.0, 0.0]]) * torch.tensor([[2], [1], [0]]) * 0.2 / 3
    torch.testing.assert_close(network.user_embedding.weight.grad, expected)


def test_the_penalty_of_a_hybrid_network_covers_its_ids_only() -> None:
    network = build_network("hybrid with history and features")
    data = all_pairs_data()
    penalty = L2Penalty(vectors=1.0, biases=0.0)(network, to_tensors(data.dataset, data.split.train, "cpu"))
    assert isinstance(penalty, torch.Tensor)
    penalty.backward()
    with_gradient = {name for name, weight in network.named_parameters() if weight.grad is not None}
    assert with_gradient == {"user_encoder.embedding.weight", "item_encoder.embedding.weight"}


def test_a_loss_takes_the_penalty_or_its_arguments() -> None:
    for loss in (Pointwise({"vectors": 0.3, "biases": 0.1}), BPR(l2=L2Penalty(0.3, 0.1))):
        assert loss.l2 == L2Penalty(0.3, 0.1)
    assert Pointwise().l2 == L2Penalty()
    batch = Batch(torch.tensor([0]), torch.tensor([0]), torch.ones(1))
    assert Pointwise(L2Penalty(0, 0)).penalty(MatrixFactorization(1, 1, (1, 5), 3.0), batch) == 0


@pytest.mark.slow
def test_the_penalty_keeps_vectors_short(compose, tmp_path: Path) -> None:
    lengths = []
    for weight in (0, 0.5):
        options = ["model=matrix-factorization", f"l2.vectors={weight}", "max_epochs=6", "optimizer.lr=0.01"]
        train_result(compose(*QUICK, *options), tmp_path / str(weight))
        scorer = load_checkpoint(checkpoint_in(tmp_path / str(weight), "last")).scorer
        lengths.append(scorer.vectors("user").norm().item())
    assert lengths[1] < 0.5 * lengths[0]
