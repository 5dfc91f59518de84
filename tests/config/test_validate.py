import pytest

from recsys.config.validate import validate, validate_data
from recsys.errors import ConfigError


def errors(cfg) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        validate(cfg)
    return str(caught.value).splitlines()


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        (["batch_size=0"], "batch_size=0: should be greater than 0"),
        (["batch_size=2.5"], "batch_size=2.5: should be a valid integer"),
        (["batch_size=true"], "batch_size=True: should be a valid integer"),
        (["batch_size='7'"], "batch_size=7: should be a valid integer"),
        (["max_epochs=null"], "max_epochs=None: should be a valid integer"),
        (["seed=-1"], "seed=-1: should be greater than or equal to 0"),
        (["optimizer.lr=0"], "optimizer.lr=0: should be greater than 0"),
        (["optimizer.weight_decay=-1"], "optimizer.weight_decay=-1: should be greater than or equal to 0"),
        (["model.embedding_dim=0"], "model.embedding_dim=0: should be greater than 0"),
        (["model.hidden=0"], "model.hidden=0: should be greater than 0"),
        (["model.hidden=[10,0]"], "model.hidden=[10, 0]: should be greater than 0"),
        (["model.dropouts=1"], "model.dropouts=1: should be less than 1"),
        (["model.dropouts=[0.1,x]"], "model.dropouts=[0.1, 'x']: should be a valid number"),
        (["model.dropouts=[]"], "model.dropouts=[]: should have at least 1 item"),
        (["optimizer.lr=x"], "optimizer.lr=x: should be a valid number"),
        (["optimizer=sgd", "optimizer.momentum=0"], "optimizer: Nesterov momentum requires a momentum"),
        (["+optimizer.betas=[1,2]"], "optimizer: Invalid beta parameter at index 0: 1"),
        (["+optimizer.foreach=true"], "optimizer: `fused` and `foreach` cannot be `True` together"),
        (["schedule.cycle_epochs=0"], "schedule.cycle_epochs=0: should be greater than 0"),
        (
            ["schedule=triangular", "schedule.gamma=1.5"],
            "schedule.gamma=1.5: should be less than or equal to 1",
        ),
        (["split.val=1"], "split.val=1: should be less than 1"),
        (["split=kfold", "split.fold=5"], "split.fold=5: folds are 0 to 4 (split.k=5)"),
        (["split.val=0.5", "split.test=0.5"], "split.val=0.5 and split.test=0.5 leave nothing to train on"),
        (["split=official", "split.fold=1"], "split.fold=1: should be 'u1', 'u2', "),
        (["split=official", "split.fold=rb"], "split.fold=rb: the folds of ml-100k are u1, u2"),
        (
            ["split=official", "data=ml-1m"],
            "split=official with data=ml-1m: only data=ml-100k and data=ml-10m",
        ),
        (["data.scale=[5,1]"], "data.scale=[5, 1]: the lowest rating comes first"),
        (["data.on_bad_rows=skip"], "data.on_bad_rows=skip: should be 'error' or 'drop'"),
        (["data=csv"], "data.path: needs a value (data.path=...)"),
        (
            ["data=synthetic", "data.ratings=999999"],
            "data.ratings=999999: data.users x data.items is only 60000",
        ),
        (["hardware.precision=8"], "hardware.precision=8: should be '32-true', 'bf16-mixed' or '16-mixed'"),
        (["hardware=cpu", "hardware.precision=16-mixed"], "hardware.precision=16-mixed: only a GPU has it"),
        (
            ["hardware=cpu", "hardware.devices=2"],
            "hardware.devices=2: several devices need hardware.strategy=ddp",
        ),
        (["ranking.k=-1"], "ranking.k=-1: should be greater than or equal to 0"),
        (["ranking.k=2.5"], "ranking.k=2.5: should be a valid integer"),
        (["ranking.threshold=x"], "ranking.threshold=x: should be a valid number"),
        (["ranking.threshold=6"], "ranking.threshold=6: ratings are 1 to 5 (data.scale)"),
        (["+ranking.n=3"], "ranking.n=3: no such key"),
        (["loss=bpr", "ranking.k=0"], "ranking.k=0 with loss=bpr: its weights are chosen by val/ndcg@k"),
        (
            ["loss=softmax", "hardware.compile=true", "model=embedding-net"],
            "hardware.compile=true with loss=softmax: batches differ",
        ),
        (["loss=bpr", "loss.negatives=0"], "loss.negatives=0: should be greater than 0"),
        (["loss=bpr", "loss.positives=some"], "loss.positives=some: should be 'relevant' or 'all'"),
        (["loss=softmax", "loss.temperature=0"], "loss.temperature=0: should be greater than 0"),
        (["+loss.negatives=2"], "loss.negatives=2: recsys.training.losses.pointwise takes no 'negatives'"),
        (["+nonsense=1"], "nonsense=1: no such key"),
        (["+model.depth=3"], "model.depth=3: recsys.models.hybrid.NeuMF takes no 'depth'"),
        (["model._target_=recsys.models.nothing.Net"], "model._target_=recsys.models.nothing.Net: cannot be"),
    ],
)
def test_names_key_value_and_what_would_do(compose, overrides: list[str], expected: str) -> None:
    (told,) = errors(compose(*overrides))
    assert told.startswith(expected)
    assert "Cannot check" not in told


def test_reports_every_error_at_once(compose) -> None:
    told = errors(compose("batch_size=0", "optimizer.lr=-1", "model.hidden=[0]", "split.val=2", "seed=x"))
    assert [line.split("=")[0] for line in told] == [
        "seed",
        "batch_size",
        "optimizer.lr",
        "split.val",
        "model.hidden",
    ]


@pytest.mark.parametrize(
    "overrides",
    [
        ["model.hidden=[]"],
        ["model.hidden=64", "model.dropouts=[0.5,0.25]"],
        ["optimizer.lr=1"],
        ["+optimizer.betas=[0.8,0.99]"],
        ["split=kfold", "split.fold=4"],
        ["data=ml-10m", "split=official", "split.fold=rb"],
        ["schedule.cycle_epochs=0.5", "gradient_clip=1"],
    ],
)
def test_accepts_what_can_run(compose, overrides: list[str]) -> None:
    validate(compose(*overrides))


@pytest.mark.parametrize("gpu", ["gpu", "gpu-bf16", "mps"])
def test_hardware_that_is_not_there_is_named(compose, gpu: str, monkeypatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    monkeypatch.setattr("torch.backends.mps.is_available", lambda: False)
    (told,) = errors(compose(f"hardware={gpu}"))
    assert "hardware.accelerator=" in told
    assert "hardware=auto" in told


@pytest.mark.parametrize("accelerator", ["gpu", "auto"])
def test_more_devices_than_there_are_gpus_are_refused(compose, accelerator: str, monkeypatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    ddp = ["hardware=ddp", f"hardware.accelerator={accelerator}"]
    validate(compose(*ddp, "hardware.devices=2"))
    (told,) = errors(compose(*ddp, "hardware.devices=3"))
    assert told == "hardware.devices=3: torch sees 2 GPUs here; hardware.accelerator=cpu needs none"
    validate(compose(*ddp[:1], "hardware.accelerator=cpu", "hardware.devices=3"))


def test_data_alone_can_be_validated(compose) -> None:
    validate_data(compose("data=synthetic", name="prepare"))
    with pytest.raises(ConfigError, match="users=0: should be greater than 0"):
        validate_data(compose("data=synthetic", "data.users=0", name="prepare"))
