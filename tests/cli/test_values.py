"""Values of the commands that have no typed configuration: each error is one line, and nothing is written."""

import importlib
import os
from pathlib import Path

import pytest
from support.commands import run, shell

from recsys.errors import ConfigError, UserError
from recsys.experiment.compose import compose


@pytest.mark.parametrize(
    ("command", "override"),
    [
        *(("compare", f"test={value}") for value in ("no", "null", "5")),
        *(("train", f"{key}={value}") for key in ("resume", "trust") for value in ("no", "1")),
        *((command, "trust=yes") for command in ("evaluate", "explore", "average", "recommend")),
        ("recommend", "filter_seen=no"),
    ],
)
def test_only_true_and_false_are_booleans(command: str, override: str) -> None:
    """A text such as "no" would count as true."""
    module = importlib.import_module(f"recsys.cli.{command}")
    more = ["user=1"] if command == "recommend" else []
    with pytest.raises(ConfigError, match=rf"{override.split('=')[0]}=.*: must be true or false"):
        module._task(compose(override, *more, name=command))


@pytest.mark.parametrize("value", ["null", "5"])
@pytest.mark.parametrize(("command", "key"), [("evaluate", "ranking"), ("train", "sweep")])
def test_a_group_of_keys_is_not_replaced_by_a_value(command: str, key: str, value: str) -> None:
    module = importlib.import_module(f"recsys.cli.{command}")
    cfg = compose(name=command)
    cfg[key] = compose(f"+x={value}", name=command).x
    with pytest.raises(ConfigError, match=f"{key}=.*: has keys of its own"):
        module._task(cfg)


@pytest.mark.parametrize("html", ["result.json", "checkpoints/best.ckpt", "-1", "[1]", "page.html.gz"])
def test_a_leaderboard_replaces_html_pages_only(html: str, tmp_path: Path) -> None:
    from recsys.cli.compare import _task

    with pytest.raises(ConfigError, match=r"html=.*: must end with \.html"):
        _task(compose(f"html='{tmp_path / html}'", f"dir={tmp_path}", name="compare"))
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
@pytest.mark.parametrize("genres", ["5", "-1", "true", "1e99", "[null]"])
def test_a_genre_that_is_no_text_is_looked_up_as_text(genres: str) -> None:
    from recsys.cli.recommend import recommend

    run(
        "train",
        "data=synthetic",
        "data.ratings=600",
        "model=bias",
        "max_epochs=1",
        "output_dir=a",
        "hardware=cpu",
    )
    with pytest.raises(UserError, match=r"genres=.*: must be among"):
        recommend(compose("run=a", "user=1", f"genres={genres}", name="recommend"))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("command", "arguments"),
    [
        ("train", "output_dir={long}"),
        ("train", "-m seed=1,2 output_dir={long}"),
        ("train", "-m seed=1,2 sweep.resume={long}"),
        ("evaluate", "run={long}"),
        ("recommend", "run={long} user=1"),
        ("compare", "dir={long}"),
        ("average", "dir={long}"),
    ],
)
def test_a_name_that_is_too_long_is_one_line(command: str, arguments: str) -> None:
    words = ["data=synthetic"] if command == "train" else []
    error = run(command, *words, *arguments.format(long="x" * 300).split(), code=1).stderr
    assert "Traceback" not in error
    assert len(error.splitlines()) == 1
    assert not os.listdir()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("hydra.launcher=null", "hydra: RuntimeError: Hydra launcher is not configured"),
        ("hydra.launcher._target_=os.system", "hydra: RuntimeError: Invalid plugin 'os.system'"),
        ("hydra.sweeper.max_batch_size=0", "hydra: AssertionError"),
        (
            "hydra.launcher.jobs=999999999999",
            "hydra.launcher.jobs=999999999999: should be less than or equal to 1000",
        ),
        ("hydra.launcher.timeout=inf", "hydra.launcher.timeout=inf: "),
        ("hydra.launcher.timeout=1e30", "hydra.launcher.timeout=1e+30: should be less than"),
        ("hydra/sweeper=optuna hydra.sweeper.params=5", "hydra.sweeper.params=5: "),
    ],
)
def test_absurd_keys_of_hydra_are_one_line(override: str, message: str) -> None:
    error = run("train", "-m", "data=synthetic", "seed=1,2", *override.split(), code=1).stderr
    assert error.splitlines()[-1].startswith(message)
    assert "Traceback" not in error
    assert not os.path.exists("outputs")


@pytest.mark.parametrize("key", ["users", "ratings", "user", "item"])
@pytest.mark.parametrize("value", ["[1,2]", "{a: 1}"])
def test_a_query_is_a_single_value(key: str, value: str) -> None:
    from recsys.cli.recommend import recommend

    more = ["output=x.csv"] if key == "users" else []
    with pytest.raises(ConfigError, match=f"{key}=.*: must be a single value"):
        recommend(compose(f"{key}={value}", *more, name="recommend"))


@pytest.mark.slow
def test_a_folder_that_was_deleted_is_one_line() -> None:
    done = shell("mkdir gone; cd gone; rmdir ../gone; recsys evaluate")
    assert done.stderr.splitlines()[-1] == "the current folder was deleted; change to another one"
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_a_folder_that_is_not_utf_8_is_one_line_with_tensorboard() -> None:
    words = ["data=synthetic", "data.ratings=600", "model=bias", "max_epochs=1", "hardware=cpu"]
    folder = os.fsdecode(b"k\xff\x1b[31mq")
    error = run("train", *words, f"output_dir={folder}", code=1).stderr
    assert "must be valid UTF-8 for a logger" in error.splitlines()[-1]
    assert "\x1b" not in error
    run("train", *words, f"output_dir={folder}", "logger=none")
