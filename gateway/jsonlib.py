"""JSON as bytes: orjson where it can be imported, the standard library otherwise.

The two agree on what the gateway needs: compact output, UTF-8 bytes, keys in the order given, and
`ValueError` for anything that is not JSON (NaN and Infinity included).
"""

from __future__ import annotations

from typing import Any, NoReturn

__all__ = ["dumps", "dumps_pretty", "loads"]

try:
    import orjson
except ImportError:
    import json

    def _no_constant(name: str) -> NoReturn:
        raise ValueError(f"{name} is not JSON")

    def loads(data: bytes | bytearray | str) -> Any:
        """The value of a JSON document. Raises ValueError."""
        try:
            return json.loads(data, parse_constant=_no_constant)
        except RecursionError as exc:
            raise ValueError("JSON nested too deeply") from exc

    def dumps(value: Any) -> bytes:
        """Compact UTF-8 JSON. Raises TypeError for what JSON cannot say."""
        return json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()

    def dumps_pretty(value: Any) -> bytes:
        """The same, for people: indented by two."""
        return json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False).encode()
else:

    def loads(data: bytes | bytearray | str) -> Any:
        """The value of a JSON document. Raises ValueError."""
        return orjson.loads(data)

    def dumps(value: Any) -> bytes:
        """Compact UTF-8 JSON. Raises TypeError for what JSON cannot say."""
        return orjson.dumps(value)

    def dumps_pretty(value: Any) -> bytes:
        """The same, for people: indented by two."""
        return orjson.dumps(value, option=orjson.OPT_INDENT_2)
