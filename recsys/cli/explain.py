"""Explain errors of Hydra and OmegaConf in one line, with suggestions that work when they are typed."""

from hydra.errors import ConfigCompositionException, MissingConfigException
from omegaconf.errors import ConfigAttributeError, ConfigKeyError, OmegaConfBaseException

from recsys.cli.suggestions import Command, did_you_mean, nearest, options_with
from recsys.cli.words import overrides_in
from recsys.config.option_files import options_of

RENAMED = {"data=csv": "data=table"}  # options of version 0.1.0


def explain(error: Exception, name: str, words: list[str]) -> str:
    """Return the message for an error of Hydra or OmegaConf.

    Args:
        error: the error.
        name: the primary configuration of the command.
        words: the command line, as typed.
    """
    overrides = overrides_in(words)
    if isinstance(error, MissingConfigException) and error.missing_cfg_file:
        group, _, option = error.missing_cfg_file.rpartition("/")
        # Hydra lists no options if the name is one of a list.
        options = list(error.options or options_of(group))
        renamed = RENAMED.get(f"{group}={option}")
        near = did_you_mean(
            [renamed] if renamed else (f"{group}={other}" for other in nearest(option, options))
        )
        return f"{group or '--config-name'}={option}: choose {', '.join(options)}{near}"
    cause = error if isinstance(error, OmegaConfBaseException) else error.__cause__
    if isinstance(cause, ConfigKeyError | ConfigAttributeError) and cause.full_key:
        return _trainer_argument(str(cause.full_key)) or _unknown_key(str(cause.full_key), name, overrides)
    if isinstance(cause, OmegaConfBaseException):
        first = f"{error}: " if isinstance(error, ConfigCompositionException) and str(error) else ""
        return first + str(cause).splitlines()[0]
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if not isinstance(error, ConfigCompositionException):
        return "\n".join(lines)
    # The other lines are advice of Hydra, such as a + that fails later.
    wrong = next((word for word in overrides if word.startswith("+")), "")
    rest = [word for word in overrides if word != wrong]
    return lines[0].partition(" To ")[0] + did_you_mean(Command(name, rest).suggest(wrong) if wrong else ())


def _trainer_argument(key: str) -> str:
    """Return the message for an argument of Lightning's Trainer that another key sets; empty for other keys."""
    from recsys.config.trainer import OTHER_KEYS  # imports pydantic, which takes 0.1 seconds

    group, _, argument = key.partition(".")
    return f"{key}: {OTHER_KEYS[argument]}" if group == "trainer" and argument in OTHER_KEYS else ""


def _unknown_key(key: str, name: str, overrides: list[str]) -> str:
    """Return the message for a key that the command does not have, which is the first one that is missing."""
    keys = {word.partition("=")[0]: word for word in overrides}
    wrong = next((word for own, word in keys.items() if f"{own}.".startswith(f"{key}.")), f"{key}=null")
    key = wrong.partition("=")[0]
    command = Command(name, [word for word in overrides if word != wrong])
    if found := command.suggest(wrong):
        return f"{key}: no such key{did_you_mean(found)}"
    options = options_with(key)
    if options and options[0].partition("=")[0] in command.groups:
        group = options[0].partition("=")[0]
        chosen = f"{group}={command.groups.get(group)}"
        return f"{key}: no such key of {chosen}; {' and '.join(options)} ha{'s' if len(options) == 1 else 've'} it"
    return f"{key}: no such key{command.help}"
