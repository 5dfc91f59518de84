import pytest
import pytorch_lightning as pl
import torch

from recsys.errors import UserError
from recsys.experiment.train import train
from recsys.training.callbacks.threads import LARGE, Threads
from recsys.training.module import RatingModule

LEARNING = (
    "data=synthetic",
    "data.ratings=6000",
    "batch_size=2500",  # three pieces
    "max_epochs=2",
    "schedule.cycle_epochs=1",
    "hardware=cpu",
    "logger=none",
    "ranking.k=0",
    "experiment=embedding-net",
)


@pytest.fixture
def threads():
    """A function that sets their number; afterwards it is what it was."""
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


def weights(folder) -> dict[str, torch.Tensor]:
    return torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]


def test_training_comes_to_the_same_weights_with_any_number_of_threads(compose, tmp_path, threads) -> None:
    for number in (1, 2):
        threads(number)
        train(compose(*LEARNING), tmp_path / str(number))
        assert torch.get_num_threads() == number
    one, two = weights(tmp_path / "1"), weights(tmp_path / "2")
    assert one.keys() == two.keys()
    assert all(torch.equal(two[name], value) for name, value in one.items())


@pytest.mark.parametrize(("batch_size", "expected"), [(100, 1), (LARGE, 3)])
def test_small_batches_get_one_thread_an_operation(
    compose, tmp_path, threads, monkeypatch, batch_size, expected
) -> None:
    seen = []
    of_module = RatingModule.training_step

    def watch(module, batch, batch_idx):
        seen.append(torch.get_num_threads())
        return of_module(module, batch, batch_idx)

    monkeypatch.setattr(RatingModule, "training_step", watch)
    threads(3)
    train(compose(*LEARNING, f"batch_size={batch_size}", "max_epochs=1"), tmp_path)
    assert set(seen) == {expected}


def test_threads_are_given_back_after_a_failure(compose, tmp_path, threads) -> None:
    threads(2)
    with pytest.raises(UserError):
        train(compose(*LEARNING, "optimizer.lr=1e30", "max_epochs=5"), tmp_path)
    assert torch.get_num_threads() == 2


def test_a_run_that_goes_on_inside_an_epoch_has_one_thread_an_operation_at_once(threads) -> None:
    threads(3)
    callback, module = Threads(100), pl.LightningModule()
    callback.on_train_start(pl.Trainer(logger=False), module)  # and no start of an epoch
    callback.on_train_batch_start(pl.Trainer(logger=False), module, None, 7)
    assert torch.get_num_threads() == 1
