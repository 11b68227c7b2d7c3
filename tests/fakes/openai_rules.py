"""What both fakes of OpenAI's APIs refuse, in the real ones' words.

Sources: https://platform.openai.com/docs/api-reference, https://platform.openai.com/docs/guides/structured-outputs,
https://platform.openai.com/docs/guides/reasoning
"""

from __future__ import annotations

import base64
import binascii
import re
from typing import Any

from tests.fakes.api import RefusedError
from tests.fakes.shapes import bracketed, find_mistake

REASONING = re.compile(r"o\d|gpt-5")
NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")
DATA_URL = re.compile(r"data:([\w/.+-]+);base64,(.*)", re.DOTALL)


def reasons(model: str) -> bool:
    """Whether a model thinks, whatever it is told."""
    return REASONING.match(model) is not None


def check_shape(shape: Any, body: dict[str, Any]) -> None:
    """Raises RefusedError."""
    mistake = find_mistake(shape, body)
    if mistake is None:
        return
    where = bracketed(mistake.path)
    match mistake.kind:
        case "missing":
            raise RefusedError(f"Missing required parameter: '{where}'.", "missing_required_parameter", where)
        case "extra_forbidden":
            raise RefusedError(f"Unknown parameter: '{where}'.", "unknown_parameter", where)
        case "literal_error":
            raise RefusedError(f"Invalid value for '{where}': {mistake.message}.", "invalid_value", where)
    raise RefusedError(f"Invalid type for '{where}': {mistake.message}.", "invalid_type", where)


def check_length(value: str, limit: int, where: str) -> None:
    if len(value) > limit:
        raise RefusedError(
            f"Invalid '{where}': string too long. Expected a string with maximum length {limit}, but got a string with "
            f"length {len(value)} instead.",
            "string_above_max_length",
            where,
        )


def check_function(function: dict[str, Any], where: str) -> None:
    if not NAME.fullmatch(function["name"]):
        raise RefusedError(
            f"Invalid '{where}.name': string does not match pattern. Expected a string that matches the pattern "
            "'^[a-zA-Z0-9_-]+$'.",
            "invalid_value",
            f"{where}.name",
        )
    parameters = function.get("parameters")
    if parameters is not None and parameters.get("type") != "object":
        raise RefusedError(
            f"Invalid schema for function '{function['name']}': schema must be a JSON Schema of 'type: \"object\"', "
            f"got 'type: \"{parameters.get('type')}\"'.",
            "invalid_function_parameters",
            f"{where}.parameters",
        )
    if function.get("strict"):
        check_strict(parameters, f"function '{function['name']}'", f"{where}.parameters", "invalid_function_parameters")


def check_strict(schema: Any, whose: str, where: str, code: str = "invalid_json_schema") -> None:
    """Strict schemas name all properties and no others."""
    if isinstance(schema, list):
        for each in schema:
            check_strict(each, whose, where, code)
    if not isinstance(schema, dict):
        return
    begin = f"Invalid schema for {whose}: In context=(), "
    if schema.get("type") == "object":
        if schema.get("additionalProperties") is not False:
            raise RefusedError(
                f"{begin}'additionalProperties' is required to be supplied and to be false.", code, where
            )
        if set(schema.get("required", ())) != set(schema.get("properties", {})):
            raise RefusedError(
                f"{begin}'required' is required to be supplied and to be an array including every key in properties.",
                code,
                where,
            )
    for each in schema.values():
        check_strict(each, whose, where, code)


def read_data_url(url: str, where: str) -> tuple[str, int]:
    """Media type and bytes; other addresses are not fetched here."""
    match = DATA_URL.fullmatch(url)
    if match is None:
        if not re.match("https?://", url):
            raise RefusedError(
                f"Invalid '{where}'. Expected a valid URL, but got a value with an invalid format.",
                "invalid_value",
                where,
            )
        return "url", 0
    try:
        return match[1], len(base64.b64decode(match[2], validate=True))
    except binascii.Error:
        raise RefusedError("You uploaded an unsupported image.", "invalid_image_format", where) from None


def check_for_reasoning(body: dict[str, Any], unsupported: tuple[str, ...]) -> None:
    """What models that reason do not take."""
    for name in unsupported:
        if body.get(name) is not None and (name != "temperature" or body[name] != 1):
            raise RefusedError(
                f"Unsupported parameter: '{name}' is not supported with this model.", "unsupported_parameter", name
            )
