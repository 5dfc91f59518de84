"""Checkpoints from anywhere: read as plain data, and whole, or refused."""

import random
from pathlib import Path

import pytest
import torch
from support.finished import finished_run
from support.tiny import QUICK

from recsys.errors import RunError
from recsys.runs.checkpoint import load_checkpoint


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return finished_run(tmp_path_factory.mktemp("run"), [*QUICK, "snapshots=2"]) / "checkpoints" / "last.ckpt"


def weights(path: Path) -> dict[str, torch.Tensor]:
    return load_checkpoint(path).scorer.state_dict()


def test_a_flipped_bit_is_told_or_changes_nothing(checkpoint: Path, tmp_path: Path) -> None:
    data, whole, refused = checkpoint.read_bytes(), weights(checkpoint), 0
    chance, copy = random.Random(0), tmp_path / "flipped.ckpt"
    for _ in range(300):
        flipped = bytearray(data)
        flipped[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
        copy.write_bytes(flipped)
        try:
            found = weights(copy)
        except RunError as problem:
            refused += 1
            assert str(copy) in str(problem)
            continue
        assert [key for key in whole if not torch.equal(found[key], whole[key])] == []
    assert refused > 100


def test_a_file_cut_anywhere_is_told(checkpoint: Path, tmp_path: Path) -> None:
    data, copy = checkpoint.read_bytes(), tmp_path / "cut.ckpt"
    for length in random.Random(1).sample(range(len(data)), 100):
        copy.write_bytes(data[:length])
        with pytest.raises(RunError, match=r"cut\.ckpt"):
            load_checkpoint(copy)


def test_a_tensor_that_many_names_share_is_refused(checkpoint: Path, tmp_path: Path) -> None:
    """Copies of it would take more memory than the file."""
    content = torch.load(checkpoint, weights_only=True)
    copy = tmp_path / "shared.ckpt"
    torch.save({**content, "scorers": content["scorers"][:1] * 1000}, copy)
    assert copy.stat().st_size < 2 * checkpoint.stat().st_size
    with pytest.raises(RunError, match=r"shared\.ckpt: refused, because its tensors take"):
        load_checkpoint(copy)


def test_lists_of_references_are_refused(checkpoint: Path, tmp_path: Path) -> None:
    """A file of a few kilobytes would have a billion values."""
    content = torch.load(checkpoint, weights_only=True)
    nested: list = [1]
    for _ in range(9):
        nested = [nested] * 10
    torch.save({**content, "more": nested}, tmp_path / "nested.ckpt")
    with pytest.raises(RunError, match=r"nested\.ckpt: damaged.*more than [0-9,]+ values"):
        load_checkpoint(tmp_path / "nested.ckpt")


class Code:
    """Unpickled, it would run."""

    def __reduce__(self) -> tuple:
        return Path.touch, (Path("it-ran"),)


@pytest.mark.parametrize("key", ["recsys", "state_dict", "epoch", "snapshots", "new"])
def test_code_is_never_run(checkpoint: Path, tmp_path: Path, key: str) -> None:
    content = torch.load(checkpoint, weights_only=True)
    torch.save({**content, key: Code()}, tmp_path / "evil.ckpt")
    with pytest.raises(RunError, match=r"evil\.ckpt"):
        load_checkpoint(tmp_path / "evil.ckpt")
    assert not Path("it-ran").exists()
