"""Reading a client's JSON: each function gives a value of the wanted shape or raises RequestError 400 that names the
path.

`null` counts as not said, everywhere. Paths are dotted, with numbers for the places in arrays: "messages.3.content.0".
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any, NoReturn

from gateway.dialects.names import Json
from gateway.errors import RequestError


def refuse(path: str, message: str) -> NoReturn:
    """Raises RequestError 400. `message` is a sentence for the client."""
    raise RequestError(400, "invalid_request_error", f"'{path}': {message}", param=path)


def join(path: str, name: str | int) -> str:
    return f"{path}.{name}" if path else str(name)


def text(obj: Json, name: str, path: str = "", default: str = "") -> str:
    value = obj.get(name)
    if value is None:
        return default
    return value if isinstance(value, str) else refuse(join(path, name), "must be a string.")


def required_text(obj: Json, name: str, path: str = "") -> str:
    if obj.get(name) is None:
        refuse(join(path, name), "is missing.")
    return text(obj, name, path)


def boolean(obj: Json, name: str, path: str = "") -> bool | None:
    value = obj.get(name)
    return value if value is None or isinstance(value, bool) else refuse(join(path, name), "must be true or false.")


def integer(obj: Json, name: str, path: str = "") -> int | None:
    """A whole number; 8.0 is one, too, 1e300 is not: nobody can write it down again."""
    value = obj.get(name)
    if isinstance(value, float) and value.is_integer() and abs(value) < 1 << 53:
        return int(value)
    return value if value is None or type(value) is int else refuse(join(path, name), "must be a whole number.")


def number(obj: Json, name: str, path: str = "") -> float | None:
    """An int stays an int, so that it is written as it was read."""
    value = obj.get(name)
    if value is None or type(value) in (int, float):
        return value
    refuse(join(path, name), "must be a number.")


def mapping(obj: Json, name: str, path: str = "") -> Json | None:
    value = obj.get(name)
    return value if value is None or isinstance(value, dict) else refuse(join(path, name), "must be an object.")


def array(obj: Json, name: str, path: str = "") -> list[Any] | None:
    value = obj.get(name)
    return value if value is None or isinstance(value, list) else refuse(join(path, name), "must be an array.")


def objects(obj: Json, name: str, path: str = "") -> Iterator[tuple[str, Json]]:
    """The objects in an array, each with its path. An array that is missing is empty."""
    here = join(path, name)
    for place, value in enumerate(array(obj, name, path) or []):
        yield f"{here}.{place}", value if isinstance(value, dict) else refuse(f"{here}.{place}", "must be an object.")


def texts(obj: Json, name: str, path: str = "") -> tuple[str, ...]:
    """A text or an array of texts."""
    value = obj.get(name)
    if value is None:
        return ()
    values = value if isinstance(value, list) else [value]
    for each in values:
        if not isinstance(each, str):
            refuse(join(path, name), "must be a string or an array of strings.")
    return tuple(values)


def one_of(obj: Json, name: str, allowed: Collection[str], path: str = "") -> str:
    """One of certain words; "" where it is not said."""
    value = text(obj, name, path)
    if value and value not in allowed:
        refuse(join(path, name), f"must be one of {', '.join(allowed)}.")
    return value
