"""Writing TOML: keys and values as text. Reading it is tomllib's part."""

from __future__ import annotations

import re
from decimal import Decimal

BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
ESCAPES = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t"}


def quoted(text: str) -> str:
    """A TOML basic string, safe to print: control characters are escaped."""
    return '"' + "".join(ESCAPES.get(c) or (c if c.isprintable() else _escape(c)) for c in text) + '"'


def _escape(character: str) -> str:
    code = ord(character)
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def key_path(*parts: str) -> str:
    """`providers.main.base_url`, the way TOML writes it: what is no bare key is quoted."""
    return ".".join(part if BARE_KEY.fullmatch(part) else quoted(part) for part in parts)


def scalar(value: str | float | bool | Decimal) -> str:
    """A string, number or truth value as TOML."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Decimal):
        return f"{value:f}"
    return quoted(value) if isinstance(value, str) else repr(value)
