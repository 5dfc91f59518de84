"""What the user may have meant by an override whose key a command does not have.

A suggestion works when it is typed: Hydra composes it together with the other overrides. If it chooses another option
or adds an argument to a class, the configuration is validated as well.
"""

import difflib
import inspect
import re
import shlex
from collections.abc import Iterable
from itertools import islice
from pathlib import Path
from typing import Any

import hydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from recsys.cli.quoting import quote_for_hydra
from recsys.config.option_files import contents_of
from recsys.errors import ConfigError
from recsys.paths import conf_dir, conf_initialised
from recsys.runs.targets import import_target

MOST = 3  # suggestions in one message
SIMILAR = 0.8  # lowest ratio of difflib
NEW_NODE = re.compile(r"(callbacks|metrics|logger)\.[^.]+\._target_")  # of groups that have nodes of any name


def did_you_mean(suggestions: Iterable[str]) -> str:
    """Return a line with suggestions, to append to a message; "" if there are none."""
    found = list(dict.fromkeys(suggestions))
    return f"\nDid you mean {' or '.join(found)}?" if found else ""


class Command:
    """The keys and config groups of a command, with what the user has typed.

    Args:
        name: its primary configuration.
        overrides: those of the user, as typed, without the one to make suggestions for. If they do not compose, only
            those are kept that choose an option; if these do not compose either, none.

    Attributes:
        overrides: those that are kept.
        cfg: its configuration, Hydra's own included.
        keys: its keys that have a value, Hydra's own included.
        groups: its config groups, and the chosen option of each.
        names: both, the short ones first.
    """

    def __init__(self, name: str, overrides: list[str]) -> None:
        self.name, cfg = name, None
        kept = ("hydra.searchpath",)
        choices = [word for word in overrides if (key := word.partition("=")[0]) in kept or is_group(key)]
        for self.overrides in (overrides, choices, []):
            if (cfg := self._composed([])) is not None:
                break
        assert cfg is not None, f"conf/{name}.yaml composes"
        self.cfg = cfg
        keys = keys_of(OmegaConf.to_container(self.cfg))
        self.keys = [key for key in keys if not any(other.startswith(f"{key}.") for other in keys)]
        self.groups: dict[str, str | None] = dict(self.cfg.hydra.runtime.choices)
        self.names = sorted(dict.fromkeys([*self.groups, *self.keys]), key=lambda own: own.count("."))

    @property
    def help(self) -> str:
        """Where the keys are, to append to a message that has no suggestion."""
        return f"; recsys-{self.name} --help lists all keys"

    def suggest(self, override: str) -> list[str]:
        """Return what the user may have meant, as arguments to type; [] if nothing works.

        The first of these that work: the key itself; keys that end with it (`lr`: `optimizer.lr`; `epochs`:
        `max_epochs`); options of its config group that have it (`data.path=x`: `data=table data.path=x`); similar keys
        (`modle`: `model`); an argument of the class that its node describes (`optimizer.eps=1e-6`:
        `+optimizer.eps=1e-6`); a new node (`callbacks.mine._target_=a.B`: `+callbacks.mine._target_=a.B`).

        Args:
            override: the key and the value, as typed.
        """
        key, _, value = override.partition("=")
        key = key.lstrip("+~")
        known = [own for own in self.names if own.startswith("hydra") == key.startswith("hydra")]
        options = [[option, f"{key}={value}"] for option in options_with(key)]
        for candidates, works in (
            ([[f"{own}={value}"] for own in known if own == key], self._composes),
            ([[f"{own}={value}"] for own in known if own.endswith(f".{key}")], self._composes),
            ([[f"{own}={value}"] for own in known if own.endswith(f"_{key}")], self._composes),
            (options, self._is_valid),
            (options, self._is_valid_except_its_value),
            ([[f"{own}={value}"] for own in _similar(key, known)], self._composes),
            ([[f"+{key}={value}"]], self._is_valid_argument),
            ([[f"+{key}={value}"]] if NEW_NODE.fullmatch(key) else [], self._composes),
        ):
            if found := list(islice(filter(works, candidates), MOST)):
                return list(map(shlex.join, found))
        return []

    def options_named(self, word: str) -> list[str]:
        """Return the options with a name, as arguments to type: `ml-1m`: `data=ml-1m`."""
        groups = [group for group in self.groups if Path(conf_dir(), group, f"{word}.yaml").is_file()]
        return [f"{group}={word}" for group in groups if self._composes([f"{group}={word}"])]

    def _composed(self, words: list[str]) -> DictConfig | None:
        """Return the configuration with further arguments; None if it does not compose."""
        keys = {word.partition("=")[0] for word in words}
        kept = [word for word in self.overrides if word.partition("=")[0] not in keys]
        try:
            with conf_initialised():
                return hydra.compose(self.name, [*map(_first, (*kept, *words))], return_hydra_config=True)
        except (HydraException, OmegaConfBaseException, ValueError):  # ValueError: a number as an option
            return None

    def _composes(self, words: list[str]) -> bool:
        return self._composed(words) is not None

    def _is_valid(self, words: list[str]) -> bool:
        return self._errors(words) == []

    def _is_valid_except_its_value(self, words: list[str]) -> bool:
        key = words[-1].partition("=")[0]
        errors = self._errors(words)
        return errors is not None and all(error.startswith((f"{key}=", f"{key}:")) for error in errors)

    def _errors(self, words: list[str]) -> list[str] | None:
        """Return the errors in the values of a training configuration; None if it does not compose."""
        cfg = self._composed(words)
        if cfg is None or self.name != "train":  # other commands have few keys
            return None if cfg is None else []
        from recsys.config.validate import validate  # imports torch

        plain: Any = OmegaConf.to_container(cfg)
        del plain["hydra"]
        try:
            validate(OmegaConf.create(plain))
        except ConfigError as error:
            return str(error).splitlines()
        return []

    def _is_valid_argument(self, words: list[str]) -> bool:
        """Return whether the class of the node that +key belongs to has an optional argument that accepts it."""
        node, _, argument = words[-1].lstrip("+").partition("=")[0].rpartition(".")
        target = OmegaConf.select(self.cfg, f"{node}._target_") if node else None
        if target is None:
            return False
        try:  # importing and inspecting a class of the user's choice
            parameter = inspect.signature(import_target(target)).parameters[argument]
        except Exception:
            return False
        # Arguments without a default depend on the data, such as n_users.
        return parameter.default is not parameter.empty and self._is_valid(words)


def options_with(key: str) -> list[str]:
    """Return the options of a config group that have a key: ["split=kfold", "split=official"] for `split.fold`."""
    parts = key.split(".")
    for length in range(len(parts) - 1, 0, -1):
        group, own = "/".join(parts[:length]), ".".join(parts[length:])
        if is_group(group):
            return [
                f"{group}={name}" for name, content in contents_of(group).items() if own in keys_of(content)
            ]
    return []


def is_group(name: str) -> bool:
    """Return whether a name is that of a config group."""
    return re.fullmatch(r"[a-z_-]+(/[a-z_-]+)*", name) is not None and Path(conf_dir(), name).is_dir()


def keys_of(node: Any, prefix: str = "") -> list[str]:
    """Return the dotted keys of a nested dict, without those that begin with an underscore."""
    if not isinstance(node, dict):
        return []
    keys = []
    for key, value in node.items():
        if not str(key).startswith("_"):
            keys += [f"{prefix}{key}", *keys_of(value, f"{prefix}{key}.")]
    return keys


def _first(word: str) -> str:
    """Return an override for Hydra; with the first value, if it has several."""
    override = OverridesParser.create().parse_override(quote_for_hydra(word))
    if not override.is_sweep_override():
        return quote_for_hydra(word)
    try:
        return f"{override.get_key_element()}={next(override.sweep_string_iterator())}"
    except (HydraException, StopIteration):  # an interval has no list of values
        return f"{override.get_key_element()}=null"


def nearest(name: str, known: Iterable[str]) -> list[str]:
    """Return the most similar one of some names; [] if none is similar."""
    return difflib.get_close_matches(name, list(known), n=1, cutoff=SIMILAR)


def _similar(key: str, known: list[str]) -> list[str]:
    """Return the keys whose full name, or its last part, is the most similar one."""
    names: dict[str, list[str]] = {}
    for own in known:
        for name in {own, own.rpartition(".")[2]}:
            names.setdefault(name, []).append(own)
    return [own for name in nearest(key, names) for own in names[name]]
