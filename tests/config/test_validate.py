"""Errors of a configuration: one line each, with the key, its value and what is allowed."""

from dataclasses import dataclass

import pytest
from omegaconf import DictConfig, OmegaConf

from recsys.config.validate import validate, validate_data, validate_ranking
from recsys.config.values import target_errors
from recsys.errors import ConfigError


def errors(cfg: DictConfig) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        validate(cfg)
    return str(caught.value).splitlines()


CASES: list[tuple[list[str], str, list[str]]] = [
    (["batch_size=0"], "batch_size=0: ", ["greater than 0"]),
    (["batch_size=2.5"], "batch_size=2.5: ", ["integer"]),
    (["batch_size=true"], "batch_size=True: ", ["integer"]),
    (["batch_size='7'"], "batch_size=7: ", ["integer"]),
    (["max_epochs=null"], "max_epochs=None: ", ["integer"]),
    (["seed=-1"], "seed=-1: ", ["greater than or equal to 0"]),
    (["optimizer.lr=0"], "optimizer.lr=0: ", ["greater than 0"]),
    (["optimizer.weight_decay=-1"], "optimizer.weight_decay=-1: ", ["greater than or equal to 0"]),
    (["optimizer.lr=x"], "optimizer.lr=x: ", ["number"]),
    (["optimizer=sgd", "optimizer.momentum=0"], "optimizer: ", ["momentum"]),
    (["+optimizer.betas=[1,2]"], "optimizer: ", ["beta"]),
    (["+optimizer.foreach=true"], "optimizer: ", ["foreach", "fused"]),
    (["l2.vectors=-1"], "l2.vectors=-1: ", ["greater than or equal to 0"]),
    (["model.embedding_dim=0"], "model.embedding_dim=0: ", ["greater than 0"]),
    (["model.hidden=0"], "model.hidden=0: ", ["greater than 0"]),
    (["model.hidden=[10,0]"], "model.hidden=[10, 0]: ", ["greater than 0"]),
    (["model.dropouts=1"], "model.dropouts=1: ", ["less than 1"]),
    (["model.dropouts=[0.1,x]"], "model.dropouts=[0.1, 'x']: ", ["number"]),
    (["model.dropouts=[]"], "model.dropouts=[]: ", ["at least 1 item"]),
    (["schedule.cycle_epochs=0"], "schedule.cycle_epochs=0: ", ["greater than 0"]),
    (["schedule=triangular", "schedule.gamma=1.5"], "schedule.gamma=1.5: ", ["less than or equal to 1"]),
    (["~loss._target_"], "loss._target_: is missing", ["loss="]),
    (["~data._target_"], "data._target_: is missing", ["data="]),
    (["~model._target_"], "model._target_: is missing", ["model="]),
    (["loss._target_=os.sep"], "loss._target_=os.sep: ", ["class or a function"]),
    (["~schedule", "+schedule._target_=torch.optim.lr_scheduler.StepLR"], "schedule: ", ["'optimizer'"]),
    (["split.val=1"], "split.val=1: ", ["less than 1"]),
    (["split=kfold", "split.fold=5"], "split.fold=5: ", ["0 to 4", "split.k=5"]),
    (["split.val=0.5", "split.test=0.5"], "split.val=0.5 and split.test=0.5 ", ["below 1"]),
    (["split=official", "split.fold=1"], "split.fold=1: ", ["'u1', 'u2', "]),
    (["split=official", "split.fold=rb"], "split.fold=rb: ", ["ml-100k", "u1, u2"]),
    (["split=official", "data=ml-1m"], "split=official with data=ml-1m: ", ["ml-100k", "ml-10m"]),
    (["data.scale=[5,1]"], "data.scale=[5, 1]: ", ["lowest"]),
    (["data.on_bad_rows=skip"], "data.on_bad_rows=skip: ", ["'error' or 'drop'"]),
    (["data=table"], "data.path: ", ["data.path=..."]),
    (["data=synthetic", "data.ratings=999999"], "data.ratings=999999: ", ["60000"]),
    (["hardware.precision=8"], "hardware.precision=8: ", ["'32-true', 'bf16-mixed' or '16-mixed'"]),
    (["hardware=cpu", "hardware.precision=16-mixed"], "hardware.precision=16-mixed: ", ["bf16-mixed"]),
    (["hardware=cpu", "hardware.devices=2"], "hardware.devices=2: ", ["hardware.strategy=ddp"]),
    (["ranking.k=-1"], "ranking.k=-1: ", ["greater than or equal to 0"]),
    (["ranking.k=2.5"], "ranking.k=2.5: ", ["integer"]),
    (["loss=pointwise", "ranking.threshold=x"], "ranking.threshold=x: ", ["number"]),
    (["ranking.threshold=6"], "ranking.threshold=6: ", ["1 and 5", "data.scale"]),
    (["+ranking.n=3"], "ranking.n=3: ", ["no such key"]),
    (["loss=bpr", "ranking.k=0"], "ranking.k=0: ", ["BPR", "val/ndcg@10", "ranking.k=10"]),
    (["loss=bpr", "loss.negatives=0"], "loss.negatives=0: ", ["greater than 0"]),
    (["loss=bpr", "loss.positives=some"], "loss.positives=some: ", ["'relevant' or 'all'"]),
    (["loss=joint", "loss.weight=0"], "loss.weight=0: ", ["greater than 0"]),
    (["loss=joint", "model=bias"], "loss=joint: Bias", ["model=history", "loss=pointwise"]),
    (["loss=joint", "+model.choice=false"], "model.choice=False: ", ["Joint", "remove it"]),
    (["loss=softmax", "loss.temperature=0"], "loss.temperature=0: ", ["greater than 0"]),
    (["loss=pointwise", "+loss.negatives=2"], "loss.negatives=2: ", ["Pointwise", "no argument 'negatives'"]),
    (["averaging=ema", "snapshots=2"], "snapshots=2: ", ["averaging=none", "snapshots=1"]),
    (["averaging=swa", "snapshots=2"], "snapshots=2: ", ["averaging=none", "snapshots=1"]),
    (["loss=softmax", "averaging=ema", "snapshots=1"], "averaging: ", ["SampledSoftmax"]),
    (["optimizer=sparse-adam", "gradient_clip=1"], "gradient_clip=1: ", ["optimizer=sparse-adam"]),
    (["+nonsense=1"], "nonsense=1: ", ["no such key"]),
    (["data=table", "data.path=x", "data.scale=[a,b]"], "data.scale=['a', 'b']: ", ["valid number"]),
    (["data=table", "data.path=x", "data.scale=[1]"], "data.scale=[1]: ", ["too few values"]),
    (["data=table", "data.path=x", "data.categorical=3"], "data.categorical=3: ", ["valid list"]),
    (
        ["split.val={_target_:collections.Counter}"],
        "split.val={'_target_': 'collections.Counter'}: ",
        ["number"],
    ),
    (["+model.depth=3"], "model.depth=3: ", ["HybridNet", "no argument 'depth'"]),
    (
        ["model._target_=recsys.models.nothing.Net"],
        "model._target_=recsys.models.nothing.Net: ",
        ["import"],
    ),
]


@pytest.mark.parametrize(
    ("overrides", "key", "facts"),
    # Combinations run in CI only: composing a configuration takes a fifth of a second.
    [pytest.param(*case, marks=[pytest.mark.slow] if len(case[0]) > 1 else []) for case in CASES],
)
def test_an_error_names_key_value_and_what_is_allowed(
    compose, overrides: list[str], key: str, facts: list[str]
) -> None:
    (message,) = errors(compose(*overrides))
    assert message.startswith(key)
    assert [fact for fact in facts if fact not in message] == []


@dataclass
class Size:
    width: int


def of_unusual_types(size: Size, text: "a number", width: int) -> None:  # type: ignore[syntax]  # noqa: F722
    pass


def of_a_dataclass(size: Size, width: int) -> None:
    pass


def test_types_that_cannot_be_checked_are_not() -> None:
    node = {"size": 3, "text": 3, "width": "x"}
    assert list(target_errors("a", {**node, "_target_": f"{__name__}.of_unusual_types"})) == []
    del node["text"]
    (error,) = target_errors("a", {**node, "_target_": f"{__name__}.of_a_dataclass"})
    assert error == "a.width=x: should be a valid integer"


def test_all_errors_are_reported_at_once(compose) -> None:
    messages = errors(compose("batch_size=0", "optimizer.lr=-1", "model.hidden=[0]", "split.val=2", "seed=x"))
    keys = ["seed", "batch_size", "optimizer.lr", "split.val", "model.hidden"]
    assert [message.split("=")[0] for message in messages] == keys


def test_no_text_may_have_a_nul_character(compose) -> None:
    """A path with one is a ValueError of the operating system's functions."""
    (message,) = errors(compose("data=table", "data.path='a\0b'"))
    assert message == r"data.path='a\x00b': must not have a NUL character"


def test_all_violated_constraints_are_reported_at_once(compose) -> None:
    messages = errors(compose("loss=bpr", "ranking.k=0", "split=kfold", "split.fold=9", "averaging=swa"))
    assert [message.split(":")[0] for message in messages] == [
        "split.fold=9",
        "ranking.k=0",
        "averaging",
        "snapshots=8",
    ]


@pytest.mark.slow
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
        ["loss=bpr", "ranking.threshold=2.5"],
    ],
)
def test_valid_values_are_accepted(compose, overrides: list[str]) -> None:
    validate(compose(*overrides))


@pytest.mark.parametrize("hardware", ["gpu", "gpu-bf16", "mps"])
def test_hardware_that_does_not_exist_is_an_error(
    compose, hardware: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    monkeypatch.setattr("torch.backends.mps.is_available", lambda: False)
    (message,) = errors(compose(f"hardware={hardware}"))
    assert message.startswith("hardware.accelerator=")
    assert "hardware=auto" in message


def test_a_job_of_a_cluster_is_not_checked_against_this_machine(
    compose, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    nodes = ["hardware=ddp", "hardware.accelerator=gpu", "hardware.num_nodes=2", "hardware.devices=64"]
    for overrides in (["hardware=gpu"], [*nodes, "hardware.precision=16-mixed"]):
        validate(compose(*overrides), on_this_machine=False)
    with pytest.raises(
        ConfigError, match=r"hardware.num_nodes=2: several machines need hardware.strategy=ddp"
    ):
        validate(compose("hardware.num_nodes=2"), on_this_machine=False)


@pytest.mark.slow
@pytest.mark.parametrize("accelerator", ["gpu", "auto"])
def test_more_devices_than_gpus_are_an_error(
    compose, accelerator: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    ddp = ["hardware=ddp", f"hardware.accelerator={accelerator}"]
    validate(compose(*ddp, "hardware.devices=2"))
    (message,) = errors(compose(*ddp, "hardware.devices=3"))
    assert message.startswith("hardware.devices=3: ")
    assert "finds 2 GPU(s); use hardware.devices=2" in message


@pytest.mark.parametrize("accelerator", ["cpu", "auto"])
def test_more_devices_than_cores_are_an_error(
    compose, accelerator: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each device of a CPU is a process."""
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    monkeypatch.setattr("os.cpu_count", lambda: 4)
    ddp = ["hardware=ddp", f"hardware.accelerator={accelerator}"]
    validate(compose(*ddp, "hardware.devices=4"))
    (message,) = errors(compose(*ddp, "hardware.devices=100000"))
    assert message == ("hardware.devices=100000: this machine has 4 CPU core(s); use hardware.devices=4")


def float_keys(node: dict, prefix: str = "") -> list[str]:
    """Return the keys of all numbers that may have a fraction, and of the lists of such numbers."""
    keys = []
    for name, value in node.items():
        if isinstance(value, dict):
            keys += float_keys(value, f"{prefix}{name}.")
        elif isinstance(value, float):
            keys.append(f"{prefix}{name}")
    return keys


@pytest.mark.parametrize("value", ["inf", "-inf", "nan", "1e999"])
def test_no_number_may_be_infinite_or_nan(compose, value: str) -> None:
    groups = ["data=synthetic", "schedule=triangular", "loss=softmax", "snapshots=1", "averaging=ema"]
    node = OmegaConf.to_container(compose(*groups))
    keys = [*float_keys(node), "gradient_clip", "ranking.threshold", "batch_size"]
    assert {"optimizer.lr", "data.noise", "l2.vectors", "schedule.floor", "model.embedding_dropout"} <= set(
        keys
    )
    messages = errors(compose(*groups, *(f"{key}={value}" for key in keys), "+optimizer.betas=[0.9,nan]"))
    assert sorted(message.split("=")[0] for message in messages) == sorted([*keys, "optimizer.betas[1]"])
    assert all(message.endswith(": must be a finite number") for message in messages)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("max_epochs=1000001", "max_epochs=1000001: should be less than or equal to 1000000"),
        ("max_epochs=1000000000000000000", "max_epochs=1000000000000000000: should be less than"),
        ("batch_size=1000000000000", "batch_size=1000000000000: should be less than or equal to 2147483647"),
        ("patience=1000000000000000000", "patience=1000000000000000000: should be less than"),
        ("snapshots=1000000000000", "snapshots=1000000000000: should be less than"),
        ("model.embedding_dim=1000000000000", "model.embedding_dim=1000000000000: should be less than"),
        ("model.hidden=[1000000000000]", "model.hidden=[1000000000000]: should be less than"),
        ("seed=1000000000000000000000000000000", "seed=1000000000000000000000000000000: should be less than"),
        (
            f"seed=-{'1' * 4000}",
            f"seed=-{'1' * 99}... (4,001 characters): should be greater than or equal to 0",
        ),
        ("hardware.num_nodes=1000000000000", "hardware.num_nodes=1000000000000: should be less than"),
    ],
)
def test_absurd_numbers_are_refused_with_the_limit(compose, override: str, message: str) -> None:
    (found,) = errors(compose(override))
    assert found.startswith(message)


def test_the_largest_numbers_are_valid(compose) -> None:
    most = 2**31 - 1
    limits = [f"{key}={most}" for key in ("batch_size", "patience", "snapshots", "ranking.k")]
    validate(compose(*limits, "max_epochs=1000000", f"seed={2**63 - 1}", "schedule.cycle_epochs=1e300"))


def test_data_alone_can_be_validated(compose) -> None:
    validate_data(compose("data=synthetic", name="prepare"))
    for override, message in (
        ("data.users=0", "data.users=0: "),
        ("data.ratings=999999", "data.ratings=999999: "),
        ("data.noise=nan", "data.noise=nan: must be a finite number"),
    ):
        with pytest.raises(ConfigError, match=message):
            validate_data(compose("data=synthetic", override, name="prepare"))


def test_ranking_keys_alone_can_be_validated() -> None:
    validate_ranking(None, None)
    validate_ranking(0, 3.5)
    with pytest.raises(ConfigError, match=r"ranking\.k=-1: "):
        validate_ranking(-1, None)
    with pytest.raises(ConfigError, match=r"ranking\.threshold=nan: must be a finite number"):
        validate_ranking(None, float("nan"))


@pytest.mark.parametrize(
    ("override", "message"),
    [
        (
            ["model=custom", "model._target_=torch.nn.Identity"],
            "model._target_=torch.nn.Identity: must be a subclass of",
        ),
        (
            ["~data", "+data._target_=collections.Counter"],
            "data._target_=collections.Counter: must be a subclass of",
        ),
    ],
)
def test_classes_of_another_kind_are_refused(compose, override: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        validate(compose(*override))
