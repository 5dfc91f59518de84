import os
import pickle
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from support.finished import finished_run
from support.tiny import QUICK

from recsys.errors import RunError
from recsys.runs.checkpoint import load_checkpoint
from recsys.runs.folder import FORMAT
from recsys.runs.network import network_from_checkpoint

Content = dict


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The best checkpoint of a run with model=bias."""
    folder = finished_run(tmp_path_factory.mktemp("run"), [*QUICK, "model=bias"])
    return folder / "checkpoints" / "best.ckpt"


def test_a_checkpoint_is_self_contained(checkpoint: Path) -> None:
    loaded = load_checkpoint(checkpoint)
    assert loaded.user_ids.ids.tolist() == list(range(1, 61))
    assert loaded.item_ids.ids.tolist() == list(range(1, 51))
    assert loaded.scorer.scale == (1.0, 5.0)
    assert loaded.scorer.predicts_ratings
    assert not loaded.scorer.training
    assert loaded.model == {"name": "bias", "parameters": 110, "snapshots": 1}
    head = {"head": "linear", "margin": 0.5}
    assert loaded.config["model"] == {"_target_": "recsys.models.bias.Bias", **head}
    user, item = loaded.user_ids.to_indices([7]), loaded.item_ids.to_indices([3])
    predicted = loaded.scorer.predict(torch.from_numpy(user), torch.from_numpy(item))
    assert 1 <= predicted.item() <= 5


def test_its_network_is_rebuilt_without_data(checkpoint: Path) -> None:
    network = network_from_checkpoint(checkpoint)
    assert (network.name, network.n_users, network.n_items) == ("bias", 60, 50)


def test_it_contains_plain_types_only(checkpoint: Path) -> None:
    content = torch.load(checkpoint)  # weights_only=True is torch's default, and no class is allow-listed
    assert content["recsys"]["format"] == FORMAT
    assert content["network"]["class"] == "recsys.models.bias.Bias"
    assert len(content["scorers"]) == 1
    assert {"epoch", "global_step"} <= content.keys()

    def check(value: object) -> None:
        plain = dict | list | tuple | str | int | float | bool | torch.Tensor | None
        assert isinstance(value, plain), type(value)
        for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
            check(inner)

    for key in ("recsys", "network", "scorers"):
        check(content[key])


@pytest.mark.parametrize(
    "change",
    [
        lambda content: content.update(epoch="9"),
        lambda content: content.update(epoch=-5),
        lambda content: content.update(global_step=10**400),
        lambda content: content["recsys"]["model"].update(parameters=-5),
    ],
)
def test_impossible_numbers_are_refused(
    change: Callable[[dict], None], checkpoint: Path, tmp_path: Path
) -> None:
    content = torch.load(checkpoint)
    change(content)
    torch.save(content, tmp_path / "changed.ckpt")
    with pytest.raises(RunError, match=r"changed\.ckpt: .*number"):
        load_checkpoint(tmp_path / "changed.ckpt")


class Malicious:
    def __reduce__(self) -> tuple:
        return os.system, ("echo executed",)


@pytest.mark.parametrize(
    "content", [pickle.dumps(Malicious(), protocol=2), b"", b"PK\x03\x04 not an archive"]
)
def test_other_files_are_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "bad.ckpt"
    path.write_bytes(content)
    with pytest.raises(RunError, match=r"bad\.ckpt: .*damaged"):
        load_checkpoint(path)


def test_code_in_a_torch_file_is_refused(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    torch.save({"recsys": Malicious()}, tmp_path / "malicious.ckpt")
    with pytest.raises(RunError, match="damaged"):
        load_checkpoint(tmp_path / "malicious.ckpt")
    assert "executed" not in capfd.readouterr().out


def test_truncated_files_are_refused(checkpoint: Path, tmp_path: Path) -> None:
    (tmp_path / "short.ckpt").write_bytes(checkpoint.read_bytes()[:-2000])
    with pytest.raises(RunError, match="damaged"):
        load_checkpoint(tmp_path / "short.ckpt")


def test_changed_bytes_are_refused(checkpoint: Path, tmp_path: Path) -> None:
    """Torch itself does not verify the checksums of the archive."""
    content = bytearray(checkpoint.read_bytes())
    weights = next(iter(torch.load(checkpoint)["scorers"][0].values())).numpy().tobytes()
    content[content.index(weights)] ^= 1
    (tmp_path / "changed.ckpt").write_bytes(content)
    with pytest.raises(RunError, match="checksum"):
        load_checkpoint(tmp_path / "changed.ckpt")


def refusal(path: Path, content: Content) -> str:
    """The message with which a checkpoint of this content is refused."""
    torch.save(content, path)
    with pytest.raises(RunError) as caught:
        load_checkpoint(path)
    assert str(caught.value).startswith(f"{path}: ")
    return str(caught.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda content: content["recsys"].update(format=0),
            "has format 0, this version reads format 2: train again",
        ),
        (
            lambda content: content["recsys"].update(format=3),
            "has format 3, this version reads format 2: train again",
        ),
        (lambda content: content["recsys"].pop("format"), "damaged"),
        (lambda content: content["recsys"].update(format=torch.zeros(3)), "no format"),
        (lambda content: content.update(recsys=torch.tensor(3)), "no format"),
        (lambda content: content["recsys"].pop("item_ids"), "damaged"),
        (
            lambda content: content["recsys"].update(user_ids=content["recsys"]["user_ids"][:-1]),
            "59 user ids",
        ),
        (
            lambda content: content["recsys"]["item_ids"].fill_(3),
            "item ids are not a list of distinct values",
        ),
        (lambda content: content["network"]["arguments"].update(n_items=7), "weights do not fit the network"),
        (lambda content: content["network"]["arguments"].update(surprise=1), "surprise"),
        (lambda content: content["network"].update({"class": "os.system"}), "os.system"),
        (lambda content: content["network"].update({"class": "no.such.Network"}), "no.such.Network"),
        (lambda content: content["network"].update({"class": "torch.nn.Linear"}), "not part of recsys"),
        (
            lambda content: content["network"].update({"class": "recsys.training.losses.BPR"}),
            "is not a RatingNetwork",
        ),
        (lambda content: content["network"]["arguments"].update(scale=["a", None]), "damaged"),
        (lambda content: content["network"]["arguments"].update(scale=[5.0, 1.0]), "scale"),
        (lambda content: content["recsys"].update(scale=["a", None]), "its scale is ['a', None]"),
        (lambda content: content["recsys"].update(model={}), "name"),
        (lambda content: content["recsys"].update(model={"name": 5, "parameters": "x"}), "model: a name"),
        (lambda content: content["recsys"].update(predicts_ratings="maybe"), "predicts_ratings"),
        (lambda content: content["recsys"].update(config="x"), "config: not a configuration"),
        (lambda content: content["network"]["arguments"].update(scale=[1.0, float("inf")]), "inf"),
        (lambda content: content["network"]["arguments"].update(mean=float("nan")), "nan"),
        (
            lambda content: content["network"]["arguments"].update(n_users=10**12),
            "weights do not fit the network",
        ),
        (lambda content: content["network"]["arguments"].update(n_users=10**30), "damaged"),
        (lambda content: next(iter(content["scorers"][0].values())).fill_(torch.nan), "not finite"),
        (
            lambda content: content["scorers"][0].update(extra=torch.ones(1)),
            "weights do not fit the network (extra)",
        ),
        (lambda content: content.update(members=[2]), "averages 2 scorers and has 1"),
        (lambda content: content.update(members=[1, -1, 1]), "averages 1 scorers"),
        (lambda content: content["recsys"].update(user_ids=["x" * 2000] * 60), "at most 1000 characters"),
        (lambda content: content["recsys"].update(user_ids=["same"] * 60), "distinct values"),
        (
            lambda content: content["recsys"].update(user_ids=[f"\ud800{n:02}" for n in range(60)]),
            "user ids are not valid texts",
        ),
        (
            lambda content: content["recsys"].update(user_ids=[f"{n:02}\0" for n in range(60)]),
            "user ids are not valid texts",
        ),
        (lambda content: content["network"].update(arguments=[]), "damaged"),
        (lambda content: content.update(network=None), "damaged"),
        (lambda content: content.update(scorers=[]), "damaged"),
    ],
)
def test_metadata_that_does_not_fit_is_refused(
    change: Callable[[Content], object], message: str, checkpoint: Path, tmp_path: Path
) -> None:
    content = torch.load(checkpoint, weights_only=True)
    change(content)
    assert message in refusal(tmp_path / "other.ckpt", content)


def test_a_checkpoint_of_version_0_1_0_is_refused_with_its_format(tmp_path: Path) -> None:
    metadata = {
        "format": 1,
        "network": "recsys.models.bias.Bias",
        "arguments": {"n_users": 2, "n_items": 2, "scale": [1.0, 5.0], "mean": 3.0},
        "model": {"name": "bias", "parameters": 4, "snapshots": 1},
        "rates": True,
        "user_ids": torch.tensor([1, 2]),
        "movie_ids": torch.tensor([1, 2]),
        "data": ["0", "1"],
        "config": {},
    }
    content = {"recsys": metadata, "state_dict": {}, "epoch": 0, "global_step": 1}
    message = refusal(tmp_path / "old.ckpt", content)
    assert "format 1" in message
    assert "train again" in message


def test_missing_and_foreign_checkpoints_are_refused(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="no such file"):
        load_checkpoint(tmp_path / "none.ckpt")
    assert "not of this project" in refusal(tmp_path / "foreign.ckpt", {"state_dict": {}})
