"""A training step needs nothing from its device: it could be queued as a whole, compiled, or captured as a CUDA graph.

Tensors on the device "meta" have no values. Whatever reads one (`.item()`, `unique`, boolean indices) raises an error
there; on a GPU it would make the step wait for all work that is queued.
"""

from functools import partial

import pytest
import torch
from support.networks import TERMS
from support.training import synthetic_data

from recsys.data.batches import Batch, Batches, to_tensors
from recsys.data.datamodule import MovieLensDataModule
from recsys.models.base import RatingNetwork
from recsys.models.bias import Bias
from recsys.models.embedding_net import EmbeddingNet
from recsys.models.hybrid import HybridNet
from recsys.models.matrix_factorization import MatrixFactorization
from recsys.training.losses import BPR, Joint, Loss, Pointwise, SampledSoftmax
from recsys.training.module import RatingModule
from recsys.training.sparse_adam import SparseAdam

NETWORKS = {
    "bias": Bias,
    "matrix-factorization": MatrixFactorization,
    "embedding-net": EmbeddingNet,
    "neumf": HybridNet,
    "history": partial(HybridNet.from_data, user=TERMS, item=TERMS),
}
HEADS = ("linear", pytest.param("sigmoid", marks=pytest.mark.slow), "ordinal")
LOSSES = (Pointwise(), BPR(), SampledSoftmax(), SampledSoftmax(positives="all"))
JOINT = (Joint(), Joint(negatives=70))


@pytest.fixture(scope="module")
def data() -> MovieLensDataModule:
    return synthetic_data()


def on_meta(name: str, head: str, data: MovieLensDataModule) -> RatingNetwork:
    build = NETWORKS[name]
    build = build if isinstance(build, partial) else build.from_data
    return build(data, head=head).to("meta").train()


@pytest.fixture(scope="module")
def batch() -> Batch:
    index = torch.zeros(200, dtype=torch.int32, device="meta")
    return Batch(index, index, torch.zeros(200, device="meta"))


@pytest.mark.parametrize("loss", LOSSES, ids=["pointwise", "bpr", "softmax", "softmax-all"])
@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("name", NETWORKS)
def test_a_step_reads_no_values(
    name: str, head: str, loss: Loss, data: MovieLensDataModule, batch: Batch
) -> None:
    module = RatingModule(on_meta(name, head, data), loss=loss, optimizer=torch.optim.AdamW)
    optimizer = module.make_optimizer(list(module.network.parameters()))
    for _ in range(2):
        module.training_step(batch, 0).backward()
        optimizer.step()
        optimizer.zero_grad()


@pytest.mark.parametrize("loss", JOINT, ids=["one group", "three groups"])
@pytest.mark.parametrize("head", HEADS[1:])
@pytest.mark.parametrize("terms", [{}, {"user": TERMS, "item": TERMS}], ids=["ids", "history"])
def test_a_joint_step_reads_no_values(
    terms: dict, head: str, loss: Joint, data: MovieLensDataModule, batch: Batch
) -> None:
    network = HybridNet.from_data(data, head=head, choice=True, **terms).to("meta").train()
    module = RatingModule(network, loss=loss, optimizer=torch.optim.AdamW)
    optimizer = module.make_optimizer(list(network.parameters()))
    for _ in range(2):
        module.training_step(batch, 0).backward()
        optimizer.step()
        optimizer.zero_grad()


@pytest.mark.parametrize("name", ["bias", "matrix-factorization", "embedding-net"])
def test_a_sparse_step_reads_no_values(name: str, data: MovieLensDataModule, batch: Batch) -> None:
    module = RatingModule(on_meta(name, "linear", data), optimizer=partial(SparseAdam, fused=False))
    optimizer = module.make_optimizer(list(module.network.parameters()))
    for _ in range(2):
        module.training_step(batch, 0).backward()
        optimizer.step()
        optimizer.zero_grad()


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.filterwarnings("ignore:Synchronization debug mode is a prototype")
@pytest.mark.parametrize("optimizer", [torch.optim.AdamW, SparseAdam], ids=["adamw", "sparse-adam"])
@pytest.mark.parametrize("loss", LOSSES, ids=["pointwise", "bpr", "softmax", "softmax-all"])
@pytest.mark.parametrize("name", NETWORKS)
def test_a_step_on_a_gpu_waits_for_nothing(
    name: str, loss: Loss, optimizer: type, data: MovieLensDataModule
) -> None:
    build = NETWORKS[name]
    network = (build if isinstance(build, partial) else build.from_data)(data, head="ordinal")
    module = RatingModule(network, loss=loss, optimizer=partial(optimizer, fused=True)).to("cuda")
    columns = to_tensors(data.dataset, data.split.train, "cuda")
    batches = list(Batches(columns, 200))
    trained = module.make_optimizer(list(network.parameters()))

    def step(batch: Batch) -> None:
        module.training_step(batch, 0).backward()
        trained.step()
        trained.zero_grad()

    step(batches[0])  # allocates, and creates the optimizer's state
    torch.cuda.set_sync_debug_mode("error")
    try:
        for batch in batches[1:3]:
            step(batch)
    finally:
        torch.cuda.set_sync_debug_mode("default")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.filterwarnings("ignore:Synchronization debug mode is a prototype")
def test_a_joint_step_on_a_gpu_waits_for_nothing(data: MovieLensDataModule) -> None:
    network = HybridNet.from_data(data, head="ordinal", choice=True, user=TERMS, item=TERMS)
    module = RatingModule(network, loss=Joint()).to("cuda")
    batches = list(Batches(to_tensors(data.dataset, data.split.train, "cuda"), 200))
    optimizer = module.make_optimizer(list(network.parameters()))
    for number, batch in enumerate(batches[:3]):
        torch.cuda.set_sync_debug_mode("default" if number == 0 else "error")  # the first step allocates
        try:
            module.training_step(batch, 0).backward()
            optimizer.step()
            optimizer.zero_grad()
        finally:
            torch.cuda.set_sync_debug_mode("default")


@pytest.mark.slow
@pytest.mark.parametrize("terms", [{}, {"user": TERMS, "item": TERMS}], ids=["ids", "history"])
def test_the_joint_loss_is_one_graph(terms: dict, data: MovieLensDataModule, batch: Batch) -> None:
    network = HybridNet.from_data(data, head="ordinal", choice=True, **terms).to("meta").train()
    torch._dynamo.reset()
    module = RatingModule(network, loss=Joint(negatives=70))
    value, penalty = torch.compile(module.losses, fullgraph=True, backend="eager")(batch)
    assert value.shape == penalty.shape == ()


@pytest.mark.slow
@pytest.mark.parametrize("loss", LOSSES[:1], ids=["pointwise"])
@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("name", NETWORKS)
def test_loss_and_penalty_are_one_graph(
    name: str, head: str, loss: Loss, data: MovieLensDataModule, batch: Batch
) -> None:
    module = RatingModule(on_meta(name, head, data), loss=loss)
    torch._dynamo.reset()
    value, penalty = torch.compile(module.losses, fullgraph=True, backend="eager")(batch)
    assert value.shape == penalty.shape == ()
