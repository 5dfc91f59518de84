"""Suggestions for keys and words that a command does not have. All of them work when they are typed."""

import re
import shlex
from pathlib import Path

import hydra
import pytest
from hydra.errors import HydraException
from support.commands import run
from support.datasets import write_own_ratings
from support.tiny import QUICK

from recsys.cli.explain import explain
from recsys.cli.quoting import quote_for_hydra
from recsys.cli.suggestions import Command, options_with
from recsys.cli.words import HYDRA_OPTIONS, check_words
from recsys.errors import ConfigError
from recsys.paths import conf_initialised


def message_for(name: str, words: list[str]) -> str:
    """Return the message that a command prints for overrides that Hydra refuses."""
    with pytest.raises(HydraException) as caught, conf_initialised():
        hydra.compose(name, list(map(quote_for_hydra, words)))
    return explain(caught.value, name, words)


@pytest.mark.parametrize(
    ("name", "words", "expected"),
    [
        ("train", "lr=0.01", "lr: no such key\nDid you mean optimizer.lr=0.01?"),
        (
            "train",
            "epochs=3",
            "epochs: no such key\nDid you mean max_epochs=3 or schedule.cycle_epochs=3 or trainer.min_epochs=3?",
        ),
        ("train", "modle=bias", "modle: no such key\nDid you mean model=bias?"),
        ("train", "modle=nothing", "modle: no such key; recsys-train --help lists all keys"),
        ("train", "experimnt=top-n", "experimnt: no such key\nDid you mean experiment=top-n?"),
        ("train", "model.hiden=[8]", "model.hiden: no such key\nDid you mean 'model.hidden=[8]'?"),
        ("train", "batch-size=5", "batch-size: no such key\nDid you mean batch_size=5?"),
        (
            "train",
            "callbacks.mine._target_=a.B",
            "callbacks.mine._target_: no such key\nDid you mean +callbacks.mine._target_=a.B?",
        ),
        (
            "train",
            "logger.csv.name=x",
            "logger.csv.name: no such key\nDid you mean logger=csv logger.csv.name=x?",
        ),
        ("prepare", "data.path=x", "data.path: no such key\nDid you mean data=table data.path=x?"),
        (
            "prepare",
            "data.users=5 data=ml-1m",
            "data.users: no such key\nDid you mean data=synthetic data.users=5 or data=table data.users=5?",
        ),
        ("recommend", "k.a=3", "k.a: no such key; recsys-recommend --help lists all keys"),
        ("train", "trainr.x=3", "trainr.x: no such key; recsys-train --help lists all keys"),
        ("train", "hardware/foo=x", "hardware/foo: no such key; recsys-train --help lists all keys"),
        (
            "train",
            "+seed=1",
            "Could not append to config. An item is already at 'seed'.\nDid you mean seed=1?",
        ),
        ("train", "+data=table", "Multiple values for data.\nDid you mean data=table?"),
        ("train", "model/base=hybrid", "Could not override 'model/base'. No match in the defaults list."),
        ("train", "data@foo=csv", "Could not override 'data@foo'."),
        ("train", "lr=1 sed=2", "lr: no such key\nDid you mean optimizer.lr=1?"),
    ],
)
def test_an_unknown_key(name: str, words: str, expected: str) -> None:
    assert message_for(name, words.split()) == expected


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("data.path=nowhere.csv", "\nDid you mean data=table data.path=nowhere.csv?"),
        ("split.fold=0", "\nDid you mean split=kfold split.fold=0?"),  # the fold of split=official is text
        ("split.fold=u1", "\nDid you mean split=official split.fold=u1?"),
        ("loss.temperature=2", "\nDid you mean loss=softmax loss.temperature=2?"),
        ("loss.weight=0.2 model=bias", " of loss=auto; loss=joint has it"),  # bias cannot learn choices
        ("averaging.decay=0.9", " of averaging=none; averaging=ema has it"),  # not with snapshots=8
        ("averaging.decay=0.9 snapshots=1", "\nDid you mean averaging=ema averaging.decay=0.9?"),
        (
            "hydra.launcher.slurm_partition=a",
            "\nDid you mean hydra/launcher=slurm hydra.launcher.slurm_partition=a?",
        ),
        ("optimizer.eps=1e-6", "\nDid you mean +optimizer.eps=1e-6?"),
        ("optimizer.foo=3", "; recsys-train --help lists all keys"),
        ("optimizer.amsgrad=x", "; recsys-train --help lists all keys"),  # true or false
        ("model.foo=3", "; recsys-train --help lists all keys"),
        ("model.n_users=3", "; recsys-train --help lists all keys"),  # the data decides it
        ("logger.foo=3", "; recsys-train --help lists all keys"),  # accepted by **kwargs, and refused later
    ],
)
def test_an_unknown_key_whose_suggestions_are_validated(words: str, expected: str) -> None:
    assert message_for("train", words.split()) == f"{words.partition('=')[0]}: no such key{expected}"


@pytest.mark.parametrize(
    ("name", "words", "expected"),
    [
        ("recommend", ["42"], "42: must be key=value\nDid you mean user=42?"),
        ("recommend", ["--user", "42"], "--user: not an option; write key=value\nDid you mean user=42?"),
        ("recommend", ["--user=42"], "--user=42: not an option; write key=value\nDid you mean user=42?"),
        ("recommend", ["-k", "5", "user=3"], "-k: not an option; write key=value\nDid you mean k=5?"),
        ("recommend", ["user", "42"], "user: must be key=value\nDid you mean user=42?"),
        ("recommend", ["user"], "user: needs a value, user=<value>; recsys-recommend --help lists all keys"),
        ("recommend", ["item", "toy story"], "item: must be key=value\nDid you mean 'item=toy story'?"),
        ("recommend", ["=3"], "=3: must be key=value\nDid you mean user=3?"),
        ("recommend", ["user", "=42"], "user: must be key=value\nDid you mean user=42?"),
        ("train", ["=3"], "=3: must be key=value; recsys-train --help lists all keys"),
        ("evaluate", ["a/b"], "a/b: must be key=value\nDid you mean run=a/b?"),
        ("evaluate", ["--run", "a"], "a: must be key=value\nDid you mean run=a?"),
        ("compare", ["a"], "a: must be key=value\nDid you mean dir=a?"),
        ("train", ["ml-1m"], "ml-1m: must be key=value\nDid you mean data=ml-1m?"),
        ("train", ["42"], "42: must be key=value; recsys-train --help lists all keys"),
        ("train", ["--lr", "0.1"], "--lr: not an option; write key=value\nDid you mean optimizer.lr=0.1?"),
        (
            "train",
            ["--max-epochs=3"],
            "--max-epochs=3: not an option; write key=value\nDid you mean max_epochs=3?",
        ),
        ("train", ["--refit", "seed=3"], "--refit: not an option; write key=value\nDid you mean refit=true?"),
        ("train", ["--foo"], "--foo: not an option; write key=value; recsys-train --help lists all keys"),
    ],
)
def test_a_word_that_is_no_override(name: str, words: list[str], expected: str) -> None:
    first_key = {"recommend": "user", "evaluate": "run", "compare": "dir"}.get(name)
    with pytest.raises(ConfigError) as caught:
        check_words(name, words, first_key)
    assert str(caught.value) == expected


@pytest.mark.parametrize(
    "words",
    [
        "seed=1 +a.b=2 ++c=3 ~loss ~seed=1 model=bias",
        "-m seed=1,2 --config-dir=conf --config-name mine",
        "--cfg job --package model --resolve",
        "-c job -p model",
        "--info defaults --run seed=1",
        "-sc query=bash",
        "--help",
        "-h",
    ],
)
def test_options_of_hydra_and_their_values_are_accepted(words: str) -> None:
    check_words("train", words.split(), "run")


def test_the_options_of_hydra_are_complete() -> None:
    from hydra._internal.utils import get_args_parser

    actions = get_args_parser()._actions
    options = {word: action.nargs != 0 for action in actions for word in action.option_strings}
    assert {word: word in ("--shell-completion", "-sc") or takes for word, takes in options.items()} == {
        word: word in ("--shell-completion", "-sc") or takes for word, takes in HYDRA_OPTIONS.items()
    }


def test_options_that_have_a_key() -> None:
    assert options_with("split.fold") == ["split=kfold", "split=official"]
    assert options_with("data.mirror") == [f"data={path}" for path in MOVIELENS]  # from a base file
    assert options_with("model.user.history") == ["model=history", "model=neumf"]
    assert options_with("seed") == options_with("split.nothing") == options_with("..") == []


MOVIELENS = ["ml-100k", "ml-10m", "ml-1m", "ml-20m", "ml-25m", "ml-32m"]
MOVIELENS += ["ml-latest-small", "ml-latest"]


def test_overrides_that_do_not_compose_are_ignored() -> None:
    assert Command("train", ["nothing=1", "model=bias"]).overrides == ["model=bias"]
    assert Command("train", ["model=nothing"]).overrides == []


def suggested(command: str, *words: str) -> list[str]:
    """Run a command that prints a suggestion, and return the words of the first suggestion."""
    done = run(command, *words, code=1)
    assert "Traceback" not in done.stderr
    found = re.search(r"\nDid you mean (.*?)(?: or .*)?\?$", done.stderr.rstrip("\n"))
    assert found, done.stderr
    return shlex.split(found[1])


@pytest.mark.slow
@pytest.mark.parametrize(
    "wrong",
    [
        ["epochs=1"],
        ["lr=0.01"],
        ["--patience", "3"],
        ["schedule.warm_up=0.3"],
        ["optimizer.eps=1e-6"],
        ["data.path=own ratings.csv"],
        ["loss.temperature=2"],
        ["-m", "lr=0.01,0.02"],
    ],
    ids=str,
)
def test_a_suggestion_of_train_works(wrong: list[str], tmp_path: Path) -> None:
    write_own_ratings(tmp_path / "own ratings.csv")
    rest = [word for word in QUICK if not ("path" in wrong[0] and word.startswith("data."))]
    multirun = [word for word in wrong if word == "-m"]
    words = suggested("train", *rest, *wrong)
    chosen = {word.split("=")[0] for word in words}
    kept = [word for word in rest if word.split("=")[0] not in chosen]
    run("train", *multirun, *kept, *words, "output_dir=out")
    assert (tmp_path / "out" / ("0/result.json" if multirun else "result.json")).is_file()


@pytest.mark.slow
def test_suggestions_of_the_other_commands_work() -> None:
    run("train", *QUICK, "output_dir=outputs/runs/one")
    for command, words in (
        ("recommend", ["1"]),
        ("recommend", ["--user", "1"]),
        ("recommend", ["user", "1"]),
        ("recommend", ["usr=1"]),
        ("evaluate", ["outputs/runs/one"]),
        ("evaluate", ["--run", "outputs/runs/one"]),
        ("explore", ["outputs/runs/one"]),
        ("compare", ["."]),
        ("prepare", ["synthetic"]),
    ):
        run(command, *suggested(command, *words))


@pytest.mark.slow
@pytest.mark.parametrize(
    "command", ["train", "evaluate", "recommend", "explore", "prepare", "compare", "average"]
)
def test_the_version_is_that_of_recsys(command: str) -> None:
    from recsys import __version__

    assert run(command, "--version").stdout == f"recsys {__version__}\n"
