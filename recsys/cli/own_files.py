"""Find the mistake in the user's configuration files, for errors that name no file."""

from pathlib import Path

import yaml
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from recsys.cli.words import value_of
from recsys.errors import ConfigError, UserError, first_line
from recsys.paths import expanded

# Raised by composing files that are not text, or whose content is endless or not a mapping.
UNREADABLE_FILE_ERRORS = (ValueError, OSError, RecursionError)


def check_own_files(words: list[str], error: Exception) -> None:
    """After an error of composing, check the file of --config-name, and then all others in --config-dir.

    The others are not checked after errors of Hydra, OmegaConf and YAML, which usually say what is wrong.

    Args:
        words: the command line, as typed.
        error: what Hydra has raised.

    Raises:
        ConfigError: names the first file that is not a configuration file.
    """
    folder, name = value_of(("--config-dir", "-cd"), words), value_of(("--config-name", "-cn"), words)
    if folder is None or isinstance(error, UserError):
        return
    primary = expanded(folder) / f"{(name or '').removesuffix('.yaml')}.yaml"
    problem = _problem(primary, is_primary=True) if primary.is_file() else None
    if problem is None and isinstance(error, UNREADABLE_FILE_ERRORS):
        files = (file for file in sorted(expanded(folder).rglob("*.yaml")) if file.is_file())
        problem = next(filter(None, map(_problem, files)), None)
    if problem is not None:
        raise ConfigError(problem) from error


def _problem(file: Path, is_primary: bool = False) -> str | None:
    """Return the message for a file; None if nothing is wrong, or if it is not YAML: Hydra says that well."""
    try:
        content = OmegaConf.load(file)
    except yaml.YAMLError:
        return None
    except UnicodeDecodeError:
        return f"{file}: is not text in UTF-8"
    except OmegaConfBaseException as error:  # for example, an interpolation that does not end
        return f"{file}: {first_line(error)}"
    except RecursionError:
        return f"{file}: contains itself (an alias, *name, inside of its anchor, &name)"
    except OSError as error:
        if error.strerror:
            return f"{file}: cannot be read ({error.strerror})"
        content = None  # a single value, for which OmegaConf has this error
    if not isinstance(content, DictConfig):
        return f"{file}: must consist of keys and values, such as max_epochs: 5"
    plain = OmegaConf.to_container(content)
    assert isinstance(plain, dict)
    defaults = plain.get("defaults")
    if is_primary and defaults is None:
        return f"{file}: has no defaults list; begin it with defaults: [train, _self_]"
    if defaults is not None and not isinstance(defaults, list):
        return f"{file}: defaults: must be a list of configuration files"
    if file.stem in (defaults or ()):
        return f"{file}: its defaults list contains the file itself"
    if not isinstance(plain.get("hydra", {}), dict):
        return f"{file}: hydra: must consist of keys and values, such as run: {{dir: outputs/mine}}"
    return None
