import pytest
import pytorch_lightning as pl
import torch

from recsys.errors import UserError
from recsys.experiment.train import train
from recsys.training.callbacks.threads import LARGE_BATCH, Threads
from recsys.training.module import RatingModule

OVERRIDES = (
    "data=synthetic",
    "data.ratings=6000",
    "batch_size=2500",
    "max_epochs=2",
    "schedule.cycle_epochs=1",
    "hardware=cpu",
    "logger=none",
    "ranking.k=0",
    "experiment=embedding-net",
)


@pytest.fixture
def threads():
    """Return `torch.set_num_threads`; restore the number of threads after the test."""
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


def weights(folder) -> dict[str, torch.Tensor]:
    return torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]


@pytest.mark.slow
def test_weights_do_not_depend_on_the_number_of_threads(compose, tmp_path, threads) -> None:
    for number in (1, 2):
        threads(number)
        train(compose(*OVERRIDES), tmp_path / str(number))
        assert torch.get_num_threads() == number
    one, two = weights(tmp_path / "1"), weights(tmp_path / "2")
    assert one.keys() == two.keys()
    assert all(torch.equal(two[name], value) for name, value in one.items())


@pytest.mark.slow
@pytest.mark.parametrize(("batch_size", "expected"), [(100, 1), (LARGE_BATCH, 3)])
def test_only_small_steps_use_one_thread(
    compose, tmp_path, threads, monkeypatch, batch_size, expected
) -> None:
    counts = []
    training_step = RatingModule.training_step

    def record(module, batch, batch_idx):
        counts.append(torch.get_num_threads())
        return training_step(module, batch, batch_idx)

    monkeypatch.setattr(RatingModule, "training_step", record)
    threads(3)
    train(compose(*OVERRIDES, f"batch_size={batch_size}", "max_epochs=1"), tmp_path)
    assert set(counts) == {expected}


def test_number_of_threads_is_restored_after_a_failure(compose, tmp_path, threads) -> None:
    threads(2)
    with pytest.raises(UserError):
        train(compose(*OVERRIDES, "optimizer.lr=1e30", "max_epochs=5"), tmp_path)
    assert torch.get_num_threads() == 2


def test_run_resumed_within_an_epoch_uses_one_thread(threads) -> None:
    threads(3)
    callback, module = Threads(100), pl.LightningModule()
    callback.on_train_start(pl.Trainer(logger=False), module)  # a resumed run skips on_train_epoch_start
    callback.on_train_batch_start(pl.Trainer(logger=False), module, None, 7)
    assert torch.get_num_threads() == 1
