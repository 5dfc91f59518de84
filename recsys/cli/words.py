"""Command-line words that are neither key=value nor options of Hydra: `42`, `--user 42`, `--user=42`."""

from recsys.cli.suggestions import Command, did_you_mean
from recsys.errors import ConfigError
from recsys.paths import expanded
from recsys.runs.folder import hydra_quoted

# Options of Hydra, and whether the next word is their value.
HYDRA_OPTIONS = {
    **dict.fromkeys(("--help", "-h", "--hydra-help", "--version", "--resolve", "--run", "-r"), False),
    **dict.fromkeys(("--multirun", "-m", "--shell-completion", "-sc"), False),
    **dict.fromkeys(("--cfg", "-c", "--package", "-p", "--config-path", "-cp", "--config-name", "-cn"), True),
    **dict.fromkeys(("--config-dir", "-cd", "--experimental-rerun", "--info", "-i"), True),
}


def check_words(name: str, words: list[str], first_key: str | None) -> None:
    """Check that each command-line word is an override, an option of Hydra, or the value of one.

    Args:
        name: the primary configuration of the command.
        words: as typed.
        first_key: the key that a single word is probably meant for, such as `user` of recsys-recommend; None: none.

    Raises:
        ConfigError: the first word that is not, with suggestions that work.
    """
    for before, word, after in zip(["", *words], words, [*words[1:], ""], strict=False):
        if _is_override(word) or HYDRA_OPTIONS.get(before):
            continue
        if not word.startswith("-"):
            raise ConfigError(
                _explain_word(Command(name, overrides_in(words)), before, word, after, first_key)
            )
        if word.partition("=")[0] not in HYDRA_OPTIONS:
            raise ConfigError(_explain_option(Command(name, overrides_in(words)), word, after))


def overrides_in(words: list[str]) -> list[str]:
    """Return the words of a command line that are overrides for Hydra; --config-dir becomes one as well."""
    folder = value_of(("--config-dir", "-cd"), words)
    paths = [] if folder is None else [f"hydra.searchpath=[{hydra_quoted(expanded(folder).absolute())}]"]
    return [*paths, *filter(_is_override, words)]


def value_of(option: tuple[str, ...], words: list[str]) -> str | None:
    """Return the value of an option of Hydra on a command line; None if it is not given.

    Args:
        option: its names, such as --config-dir and -cd.
        words: as typed.
    """
    for word, after in zip(words, [*words[1:], ""], strict=True):
        name, _, value = word.partition("=")
        if name in option:
            return value or after
    return None


def options_first(words: list[str]) -> list[str]:
    """Return the words of a command line with the options before the overrides, as Hydra's parser needs them."""
    options, overrides, takes_value = list[str](), list[str](), False
    for word in words:
        (options if takes_value or word.startswith("-") else overrides).append(word)
        takes_value = not takes_value and HYDRA_OPTIONS.get(word, False)
    return options + overrides


def _is_override(word: str) -> bool:
    return not word.startswith("-") and (word.startswith("~") or word.find("=") > 0)


def _explain_option(command: Command, word: str, after: str) -> str:
    """Return the message for `--user=42`, or for `--user` before the word 42."""
    option, _, value = word.partition("=")
    key = option.lstrip("-").replace("-", "_")
    if not value:
        value = "true" if not after or after.startswith("-") or _is_override(after) else after
    hint = did_you_mean(command.suggest(f"{key}={value}"))
    return f"{word}: not an option; write key=value{hint or command.help}"


def _explain_word(command: Command, before: str, word: str, after: str, first_key: str | None) -> str:
    """Return the message for a word such as 42 or ml-1m, or for `user` before the word 42."""
    value = (after if word in command.keys else word).lstrip("=")  # user =42
    if before in ("--run", "-r"):  # an option of Hydra, and the name of a key
        suggestions = command.suggest(f"run={value}")
    elif word in command.keys and after and not _is_override(after):
        suggestions = command.suggest(f"{word}={value}")
    elif word in command.keys:
        return f"{word}: needs a value, {word}=<value>{command.help}"
    else:
        suggestions = command.options_named(word)
        if not suggestions and first_key is not None:
            suggestions = command.suggest(f"{first_key}={value}")
    return f"{word}: must be key=value{did_you_mean(suggestions) or command.help}"
