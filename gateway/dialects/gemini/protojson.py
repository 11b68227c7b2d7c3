"""Google's JSON is protobuf's: names in camelCase or snake_case, one value where a list is wanted, enums in any case.

The readers of this dialect look at names in camelCase alone; whatever they read goes through `camel` or `messages`
first. Maps whose names are the client's own (arguments, results, schemas, labels) never do.

Source: https://protobuf.dev/programming-guides/json/ and recordings of what Google takes.
"""

from __future__ import annotations

from gateway import jsonlib
from gateway.dialects.names import Json
from gateway.dialects.reading import join, refuse


def camel(obj: Json) -> Json:
    """The fields of one message by their names in camelCase, without those that are null. What is so already is
    given back as it is: Google's own answers are."""
    for name, value in obj.items():
        if value is None or "_" in name:
            return {_camel_name(name): value for name, value in obj.items() if value is not None}
    return obj


def _camel_name(name: str) -> str:
    if "_" not in name:
        return name
    head, *rest = name.split("_")
    return head + "".join(word[:1].upper() + word[1:] for word in rest)


def messages(obj: Json, name: str, path: str = "") -> list[tuple[str, Json]]:
    """The messages in a repeated field, each with its path; a single one may stand without its array."""
    here = join(path, name)
    value = obj.get(name)
    if value is None:
        return []
    if isinstance(value, dict):
        return [(here, camel(value))]
    if not isinstance(value, list):
        refuse(here, "must be an array.")
    return [
        (f"{here}.{place}", camel(each) if isinstance(each, dict) else refuse(f"{here}.{place}", "must be an object."))
        for place, each in enumerate(value)
    ]


def message(obj: Json, name: str, path: str = "") -> Json:
    """The message in a field, empty where it is not said."""
    value = obj.get(name)
    if value is None:
        return {}
    return camel(value) if isinstance(value, dict) else refuse(join(path, name), "must be an object.")


def enum(obj: Json, name: str, path: str = "") -> str:
    """An enum's word in capitals, "" where it is not said or UNSPECIFIED."""
    value = obj.get(name)
    if value is None:
        return ""
    if not isinstance(value, str):
        refuse(join(path, name), "must be a string.")
    return "" if value.upper().endswith("_UNSPECIFIED") else value.upper()


def json_text(value: object, path: str) -> str:
    """A JSON value as text, as others carry it. What is nested too deeply to be written is refused."""
    try:
        return jsonlib.dumps(value).decode("utf-8", "surrogatepass")
    except (TypeError, ValueError, RecursionError):
        refuse(path, "cannot be written as JSON: it is nested too deeply.")
