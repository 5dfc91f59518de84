import os
import pickle
from pathlib import Path

import pytest
import torch
from support.tiny import QUICK

from recsys.errors import RunError
from recsys.experiment.train import train
from recsys.runs.checkpoint import load_checkpoint


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of the biases alone."""
    import hydra

    from recsys.cli.app import register_resolvers
    from recsys.paths import conf_dir

    register_resolvers()
    folder = tmp_path_factory.mktemp("run")
    with hydra.initialize_config_dir(conf_dir(), version_base="1.3"):
        train(hydra.compose("train", [*QUICK, "model=bias"]), folder)
    return folder / "checkpoints" / "best.ckpt"


def test_is_self_contained(checkpoint: Path) -> None:
    trained = load_checkpoint(checkpoint)
    assert trained.user_ids.ids.tolist() == list(range(1, 61))
    assert trained.item_ids.ids.tolist() == list(range(1, 51))
    assert trained.network.scale == (1.0, 5.0)
    assert not trained.network.training
    head = {"head": "linear", "margin": 0.5}
    assert trained.config["model"] == {"_target_": "recsys.models.bias.Bias", **head}
    user, item = trained.user_ids.to_indices([7]), trained.item_ids.to_indices([3])
    predicted = trained.network.predict(torch.from_numpy(user), torch.from_numpy(item))
    assert 1 <= predicted.item() <= 5


def test_holds_plain_types_only(checkpoint: Path) -> None:
    content = torch.load(checkpoint)  # weights_only=True is torch's default, and nothing is allow-listed
    assert content["recsys"]["format"] == 1

    def walk(value: object) -> None:
        assert isinstance(value, dict | list | tuple | str | int | float | bool | torch.Tensor | None), type(
            value
        )
        for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
            walk(inner)

    walk(content["recsys"])


class Intruder:
    def __reduce__(self) -> tuple:
        return os.system, ("echo intruder",)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (pickle.dumps(Intruder(), protocol=2), "damaged"),
        (b"", "damaged"),
        (b"PK\x03\x04 no archive", "damaged"),
    ],
)
def test_refuses_what_is_no_checkpoint(content: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "bad.ckpt"
    path.write_bytes(content)
    with pytest.raises(RunError, match=message):
        load_checkpoint(path)


def test_refuses_code_in_a_torch_file(tmp_path: Path) -> None:
    torch.save({"recsys": Intruder()}, tmp_path / "intruder.ckpt")
    with pytest.raises(RunError, match="damaged"):
        load_checkpoint(tmp_path / "intruder.ckpt")


def test_refuses_a_truncated_file(checkpoint: Path, tmp_path: Path) -> None:
    (tmp_path / "short.ckpt").write_bytes(checkpoint.read_bytes()[:-2000])
    with pytest.raises(RunError, match="damaged"):
        load_checkpoint(tmp_path / "short.ckpt")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda card: card.update(format=0), "has format 0, this version reads 1"),
        (lambda card: card.update(format=2), "has format 2, this version reads 1"),
        (lambda card: card.pop("format"), "damaged"),
        (lambda card: card.pop("item_ids"), "damaged"),
        (lambda card: card.update(user_ids=card["user_ids"][:-1]), "user ids for a network of"),
        (lambda card: card["arguments"].update(n_items=7), "weights do not fit the network"),
        (lambda card: card["arguments"].update(surprise=1), "surprise"),
        (lambda card: card.update(network="os.system"), "os.system"),
        (lambda card: card.update(network="no.such.Network"), "no.such.Network"),
        (lambda card: card.update(arguments=[]), "damaged"),
    ],
)
def test_refuses_a_card_that_does_not_fit(change, message: str, checkpoint: Path, tmp_path: Path) -> None:
    content = torch.load(checkpoint, weights_only=True)
    change(content["recsys"])
    torch.save(content, tmp_path / "other.ckpt")
    with pytest.raises(RunError, match=r"other\.ckpt") as caught:
        load_checkpoint(tmp_path / "other.ckpt")
    assert message in str(caught.value)


def test_says_when_there_is_none(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="no such checkpoint"):
        load_checkpoint(tmp_path / "none.ckpt")
    torch.save({"state_dict": {}}, tmp_path / "foreign.ckpt")
    with pytest.raises(RunError, match="not of this project"):
        load_checkpoint(tmp_path / "foreign.ckpt")
