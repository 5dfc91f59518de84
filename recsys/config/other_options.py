"""The keys that an option of a config group leaves next to a class of the user's own."""

import json
import shlex
from collections.abc import Mapping, Sequence
from inspect import Parameter

from recsys.config.hardware import Config
from recsys.config.option_files import contents_of

HYDRA_KEYS = ("_target_", "_partial_", "_convert_", "_recursive_")


def other_option_error(
    group: str, node: Config, unknown: Sequence[str], parameters: Mapping[str, Parameter]
) -> str | None:
    """Return the error of a class that does not fit the option that it is written over, with the command that works.

    For example, `model._target_=mypkg.MyNet` keeps the keys of conf/model/history.yaml, the default option.

    Args:
        group: the config group.
        node: its values, with the class as `_target_`.
        unknown: the keys that are not arguments of the class.
        parameters: the arguments of the class.

    Returns:
        The message; None if the class is one of conf/, or if no option has these keys, which are then mistyped.
    """
    options = contents_of(group) if unknown else {}
    others = {key for content in options.values() for key in content}
    target = node["_target_"]
    if not others & set(unknown) or target in {content.get("_target_") for content in options.values()}:
        return None
    words, kept = [f"~{group}", f"+{group}._target_={target}"], set[str]()
    # conf/model/custom.yaml has only _target_. Otherwise, the option with the most keys, if the class accepts them all.
    for name in sorted(options, key=lambda name: (name != "custom", -len(options[name]))):
        keys = options[name].keys() - {"_target_"}
        if keys <= parameters.keys():
            words, kept = [f"{group}={name}", f"{group}._target_={target}"], keys
            break
    chosen = [content for content in options.values() if content.keys() <= node.keys()]  # one of these
    for key, value in node.items():
        is_typed = not any(key in content and content[key] == value for content in chosen)
        if key not in (*HYDRA_KEYS, *unknown, *kept) and is_typed and not isinstance(value, dict):
            words.append(f"+{group}.{key}={value if isinstance(value, str) else json.dumps(value)}")
    return (
        f"{group}._target_={target}: does not have the arguments {', '.join(unknown)}, which the chosen option of "
        f"{group}= sets; it has {', '.join(parameters)}. To replace the option: {shlex.join(words)}"
    )
