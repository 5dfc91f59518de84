"""A class of the user's own over an option of a config group whose keys it does not have."""

import shlex

import pytest
from support.networks import OwnNetwork

from recsys.config.validate import validate
from recsys.errors import ConfigError
from recsys.training.losses import Pointwise
from recsys.types import PositiveInt


class Wide(OwnNetwork):
    """A network with an option of its own, and one that other networks have, too."""

    def __init__(
        self,
        n_users: int,
        n_items: int,
        scale: list[float],
        mean: float,
        width: PositiveInt = 8,
        head: str = "linear",
    ) -> None:
        super().__init__(n_users, n_items, scale, mean)


class OwnLoss(Pointwise):
    """A loss with an option of its own."""

    def __init__(self, delta: float = 1.0, l2: dict | None = None) -> None:
        super().__init__(l2)


class OwnData:
    """Not a source, but its arguments are checked first."""

    def __init__(self, path: str) -> None: ...


WIDE, LOSS, DATA = (f"{__name__}.{kind.__name__}" for kind in (Wide, OwnLoss, OwnData))


def error(compose, *overrides: str) -> str:
    with pytest.raises(ConfigError) as caught:
        validate(compose(*overrides))
    return str(caught.value)


@pytest.mark.parametrize(
    ("overrides", "unknown", "command"),
    [
        (
            [f"model._target_={WIDE}", "+model.width=64"],
            "embedding_dim, hidden, dropouts, embedding_dropout, user, item, margin, init_std",
            f"model=custom model._target_={WIDE} +model.width=64",
        ),
        (
            ["model=bias", f"model._target_={WIDE}", "model.head=sigmoid"],
            "margin",
            f"model=custom model._target_={WIDE} +model.head=sigmoid",
        ),
        (
            ["loss=bpr", f"loss._target_={LOSS}", "+loss.delta=0.5"],
            "negatives, positives, threshold, weights",
            f"loss=pointwise loss._target_={LOSS} +loss.delta=0.5",  # passes on the L2 penalty
        ),
        (
            ["data=synthetic", f"data._target_={DATA}", "+data.path=a b"],
            "name, ratings, users, items, rank, noise, step, seed",
            f"'~data' +data._target_={DATA} '+data.path=a b'",
        ),
    ],
)
def test_the_error_shows_the_command_that_works(
    compose, overrides: list[str], unknown: str, command: str
) -> None:
    group = overrides[-1].lstrip("+").split(".")[0]
    target = next(word for word in overrides if "_target_" in word)
    message = error(compose, *overrides)
    assert message.startswith(
        f"{target}: does not have the arguments {unknown}, which the chosen option of {group}= "
    )
    assert message.endswith(f": {command}")
    if group != "data":
        validate(compose(*shlex.split(command)))
    else:
        assert compose(*shlex.split(command)).data == {"_target_": DATA, "path": "a b"}


def test_a_mistyped_key_is_reported_by_itself(compose) -> None:
    message = error(compose, "model=custom", f"model._target_={WIDE}", "+model.widht=3")
    assert message.startswith(f"model.widht=3: {WIDE} has no argument 'widht'; it has ")
    message = error(
        compose, "loss=pointwise", "+loss.negatives=2"
    )  # a key of loss=bpr, for a class of recsys
    assert message.startswith("loss.negatives=2: ")


def test_a_custom_model_needs_its_class(compose) -> None:
    assert error(compose, "model=custom") == "model._target_: needs a value (model._target_=...)"
