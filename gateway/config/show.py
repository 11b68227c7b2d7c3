"""The effective configuration as TOML: every setting, secrets as `****`, on request with where each came from."""

from __future__ import annotations

from dataclasses import is_dataclass
from typing import Any

from gateway.config.load import Loaded
from gateway.config.model import HIDDEN
from gateway.config.setting import settings_of
from gateway.config.tomltext import key_path, quoted, scalar
from gateway.secret import Secret


def show_config(loaded: Loaded, origins: bool) -> str:
    """TOML text. With `origins`, each setting's line ends in `# default`, `# file` or the variable that set it."""
    config = loaded.config
    lines = [f"# {quoted(str(config.path))}, state in {quoted(str(config.state_dir))}"]
    _add_table(lines, loaded, config, "", origins)
    return "\n".join(lines) + "\n"


def _add_table(lines: list[str], loaded: Loaded, table: Any, key: str, origins: bool) -> None:
    """A table's own settings below its header, then the tables within."""
    inner: list[tuple[str, Any]] = []
    own: list[tuple[str, Any, bool]] = []
    for setting in settings_of(table).values():
        value = getattr(table, setting.field)
        here = f"{key}.{setting.name}" if key else setting.name
        if isinstance(value, dict):
            secret = setting.rules["secret"]
            entries = [(f"{here}.{key_path(name)}", entry) for name, entry in value.items()]
            inner += [each for each in entries if is_dataclass(each[1])]
            texts = [(path, entry, secret) for path, entry in entries if not is_dataclass(entry)]
            if texts:
                inner.append((here, texts))
        elif is_dataclass(value) and not setting.rules["inline"]:
            inner.append((here, value))
        elif isinstance(value, tuple) and any(map(is_dataclass, value)):
            inner += [(f"{here}[{index}]", entry) for index, entry in enumerate(value)]
        elif value is not None:
            own.append((here, value, setting.rules["secret"]))
    if own:
        _add_settings(lines, loaded, own, key, origins)
    for path, value in inner:
        if isinstance(value, list):
            _add_settings(lines, loaded, value, path, origins)
        else:
            _add_table(lines, loaded, value, path, origins)


def _add_settings(
    lines: list[str], loaded: Loaded, settings: list[tuple[str, Any, bool]], key: str, origins: bool
) -> None:
    lines += ["", f"[[{key[: key.rindex('[')]}]]" if key.endswith("]") else f"[{key}]"]
    for path, value, secret in settings:
        shown = _shown(loaded, value, path, secret)
        origin = f"  # {_origin(loaded, value, path)}" if origins else ""
        lines.append(f"{path[len(key) + 1 :]} = {shown}{origin}")


def _shown(loaded: Loaded, value: Any, key: str, secret: bool) -> str:
    if secret or loaded.config.is_masked(key) or isinstance(value, Secret):
        return quoted(HIDDEN if value else "")
    if isinstance(value, tuple):
        return "[" + ", ".join(_shown(loaded, item, f"{key}[{i}]", False) for i, item in enumerate(value)) + "]"
    if is_dataclass(value):
        names = settings_of(value)
        pairs = (
            f"{name} = {_shown(loaded, getattr(value, setting.field), f'{key}.{name}', False)}"
            for name, setting in names.items()
        )
        return "{ " + ", ".join(pairs) + " }"
    return scalar(value.replace("${", "$${") if isinstance(value, str) else value)


def _origin(loaded: Loaded, value: Any, key: str) -> str:
    """Where a setting came from; an inline table names every place that had a part in it."""
    if not is_dataclass(value):
        return loaded.origins.get(key, "default")
    origins = (loaded.origins.get(f"{key}.{name}", "default") for name in settings_of(value))
    return ", ".join(dict.fromkeys(origins))
