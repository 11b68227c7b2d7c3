"""TOML values to the dataclasses of `model.py`, driven by their fields: types, ranges, choices, references.

A value that is wrong is filed as a problem and replaced by its default, so that the rest is still looked at.
What concerns more than one setting is `validate.py`'s. No value is quoted in a message unless it was
compared with a fixed set of words: it might be a secret.
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping
from dataclasses import is_dataclass, replace
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any, TypeVar, get_args, get_origin

from gateway.config.interpolate import Unresolved, interpolate
from gateway.config.problems import Problems, did_you_mean
from gateway.config.provider import ProviderConfig
from gateway.config.setting import Setting, settings_of
from gateway.config.tomltext import key_path
from gateway.secret import Secret

Table = TypeVar("Table")

KINDS: dict[type, str] = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "a string",
    list: "a list",
    dict: "a table",
}

AMOUNTS = (Decimal, Decimal | None)
"""Money: a number that is taken as it is written."""


def kind_of(value: object) -> str:
    return KINDS.get(type(value), "a date or time")


class Builder:
    """Builds tables and remembers where each setting came from.

    `texts` has the raw text of what environment variables set, by setting: one that wants a string takes it as
    it stands, though it may look like a TOML number. Afterwards `origins` maps a setting to "file" or the
    variable's name (absent: default) and `masked` names those whose value came out of a secret reference.
    """

    def __init__(self, problems: Problems, environ: Mapping[str, str], folder: Path, texts: Mapping[str, str]) -> None:
        self._problems = problems
        self._environ = environ
        self._folder = folder
        self._texts = texts
        self.origins: dict[str, str] = {}
        self.masked: set[str] = set()

    def table(self, default: Table, raw: object, key: str) -> Table:
        """`default`, a dataclass instance, with what the TOML table `raw` says instead. `key` is the table's path."""
        if not isinstance(raw, dict):
            hint = f"write [[{key[: key.rindex('[')]}]]" if key.endswith("]") else f"write [{key}]"
            self._problems.add(key, f"must be a table, not {kind_of(raw)}", hint)
            return default
        known = settings_of(default)
        prefix = f"{key}." if key else ""
        values = {}
        for name, value in raw.items():
            setting = known.get(name)
            if setting is None:
                hint = _whose_it_is(name) if not key else ""
                self._problems.add(prefix + key_path(name), "unknown setting", hint or did_you_mean(name, known))
            else:
                values[setting.field] = self._value(setting, getattr(default, setting.field), value, prefix + name)
        return replace(default, **values) if values else default  # type: ignore[type-var]

    def _value(self, setting: Setting, default: Any, raw: object, key: str) -> Any:
        """The value of one setting, by its annotation."""
        if is_dataclass(setting.type):
            return self.table(default, raw, key)
        container = get_origin(setting.type)
        if container is dict:
            return self._entries(setting, raw, key)
        if container is tuple and is_dataclass(get_args(setting.type)[0]):
            return self._tables(setting, raw, key)
        self.origins[key] = self._problems.variable_of(key) or "file"
        if container is tuple:
            return self._list(setting, default, raw, key)
        if setting.type is bool:
            return self._bool(default, raw, key)
        if setting.type in AMOUNTS:
            return self._amount(setting, default, raw, key)
        if setting.type in (int, float):
            return self._number(setting, default, raw, key)
        text = self._text(setting, raw, key)
        if text is None:
            return default
        return Secret(text) if setting.type is Secret else text

    def _entries(self, setting: Setting, raw: object, key: str) -> dict[str, Any]:
        """A table whose keys are names: of further tables ([providers.NAME]), or of texts (headers)."""
        if not isinstance(raw, dict):
            self._problems.add(key, f"must be a table, not {kind_of(raw)}", f"write [{key}] or [{key}.NAME]")
            return {}
        entry = get_args(setting.type)[1]
        built: dict[str, Any] = {}
        for name, value in raw.items():
            here = f"{key}.{key_path(name)}"
            if is_dataclass(entry):
                built[name] = self.table(entry(), value, here)  # type: ignore[operator]
                continue
            self.origins[here] = self._problems.variable_of(here) or "file"
            text = self._text(setting, value, here)
            if text is not None:
                built[name] = text
        return built

    def _tables(self, setting: Setting, raw: object, key: str) -> tuple[Any, ...]:
        """An array of tables ([[providers.NAME.error_parsing.rules]])."""
        if not isinstance(raw, list):
            self._problems.add(key, f"must be an array of tables, not {kind_of(raw)}", f"write [[{key}]]")
            return ()
        entry = get_args(setting.type)[0]
        return tuple(self.table(entry(), item, f"{key}[{index}]") for index, item in enumerate(raw))

    def _list(self, setting: Setting, default: tuple[str, ...], raw: object, key: str) -> tuple[str, ...]:
        """A list of texts; a single text stands for a list of one."""
        if not isinstance(raw, list):
            text = self._text(setting, raw, key)
            return default if text is None else (text,)
        texts = [self._text(setting, item, f"{key}[{index}]") for index, item in enumerate(raw)]
        return tuple(text or "" for text in texts)  # a wrong one keeps its place, so that others keep their index

    def _text(self, setting: Setting, raw: object, key: str) -> str | None:
        """A string with its references replaced; None: there was a problem."""
        choices = setting.rules["choices"]
        if isinstance(raw, bool) and "true" in choices:
            raw = str(raw).lower()
        if not isinstance(raw, str):
            raw = self._texts.get(key, raw)
        allowed = ", ".join(choice if choice in ("true", "false") else f'"{choice}"' for choice in choices)
        if not isinstance(raw, str):
            wanted, hint = (f"one of {allowed}", "") if choices else ("a string", "put it in quotes")
            self._problems.add(key, f"must be {wanted}, not {kind_of(raw)}", hint)
            return None
        text = self._resolve(raw, key)
        if text is not None and "\0" in text:
            self._problems.add(key, "must not contain a NUL character")
            return None
        if text is not None and choices and text not in choices:
            self._problems.add(key, f"must be one of {allowed}", did_you_mean(text[:40], choices))
            return None
        return text

    def _resolve(self, raw: str, key: str) -> str | None:
        try:
            resolved = interpolate(raw, self._environ, self._folder)
        except Unresolved as exc:
            self._problems.add(key, str(exc), exc.hint)
            return None
        if resolved.secret:
            self.masked.add(key)
        return resolved.text

    def _bool(self, default: bool, raw: object, key: str) -> bool:
        value = self._literal(raw, key)
        if isinstance(value, bool):
            return value
        self._problems.add(key, f"must be true or false, not {kind_of(value)}", unquote(value))
        return default

    def _number(self, setting: Setting, default: float, raw: object, key: str) -> float:
        value = self._literal(raw, key)
        if isinstance(value, bool) or not isinstance(value, (int, float) if setting.type is float else int):
            self._problems.add(key, f"must be {KINDS[setting.type]}, not {kind_of(value)}", unquote(value))
            return default
        wrong = out_of_range(value, setting.rules)
        if wrong:
            self._problems.add(key, wrong)
            return default
        return setting.type(value)  # type: ignore[no-any-return]

    def _amount(self, setting: Setting, default: Decimal | None, raw: object, key: str) -> Decimal | None:
        """Exactly what was written: 0.1 is a tenth. A string may say it, too."""
        value = self._resolve(raw, key) if isinstance(raw, str) else raw
        if isinstance(value, bool) or not isinstance(value, (int, float, str)):
            if value is not None:  # which has been filed
                self._problems.add(key, f"must be a number, not {kind_of(value)}")
            return default
        try:
            amount = Decimal(str(value))
        except InvalidOperation:
            self._problems.add(key, "must be a number", 'write "2.50", say')
            return default
        wrong = "" if amount.is_finite() else "must be a finite number"
        wrong = wrong or out_of_range(amount, setting.rules)
        if wrong:
            self._problems.add(key, wrong)
            return default
        return amount

    def _literal(self, raw: object, key: str) -> object:
        """What a string with references, such as "${MAX:-100}", says where a number or a truth value is wanted."""
        if not isinstance(raw, str) or "${" not in raw:
            return raw
        text = self._resolve(raw, key)
        return None if text is None else toml_value(text)


def _whose_it_is(name: str) -> str:
    """A hint for what stands at the top and belongs into a provider's table; empty: nothing does."""
    setting = settings_of(ProviderConfig).get(name)
    if setting is None:
        return ""
    inner = f".{name}" if is_dataclass(setting.type) or get_origin(setting.type) is dict else ""
    return f"it belongs under [providers.NAME{inner}]"


def toml_value(text: str) -> object:
    """What `text` says as a TOML value; the text itself where it says none."""
    try:
        table = tomllib.loads(f"value = {text}")
    except (ValueError, RecursionError):
        return text
    return table["value"] if len(table) == 1 else text


def out_of_range(value: float | Decimal, rules: Mapping[str, Any]) -> str:
    """What is wrong with a number, by the rules of its setting; empty: nothing."""
    if not isinstance(value, int) and not math.isfinite(value):
        return "must be a finite number"
    minimum, above, maximum = rules["minimum"], rules["above"], rules["maximum"]
    if above is not None and value <= above:
        return f"must be more than {above:g}"
    if minimum is not None and value < minimum:
        return f"must be at least {minimum:.12g}"
    return f"must be at most {maximum:.12g}" if value > maximum else ""


def unquote(value: object) -> str:
    return "write it without quotes" if isinstance(value, str) else ""
