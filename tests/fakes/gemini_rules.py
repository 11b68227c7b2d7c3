"""What the fake Gemini API refuses, in the real one's words.

The SDK's types are shared with Vertex AI, whose fields the Gemini API does not know: NOT_HERE. Field names may be in
either case, as in all of Google's JSON.
Sources: https://ai.google.dev/api/generate-content, https://ai.google.dev/api/caching#Schema,
https://ai.google.dev/gemini-api/docs/thought-signatures, https://ai.google.dev/gemini-api/docs/thinking,
https://ai.google.dev/gemini-api/docs/function-calling
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator
from typing import Any

from google.genai import types
from pydantic import BaseModel, ValidationError

from tests.fakes.api import RefusedError
from tests.fakes.script import canonical, sign

MAKER = "gemini"
SENTINELS = ("context_engineering_is_the_way_to_go", "skip_thought_signature_validator")
"""What Google takes in the place of a signature that nobody has."""

FUNCTION_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_.:-]{0,127}")
FIELDS: dict[str, Any] = {
    "contents": types.Content,
    "systemInstruction": types.Content,
    "generationConfig": types.GenerationConfig,
    "tools": types.Tool,
    "toolConfig": types.ToolConfig,
    "safetySettings": None,
    "model": None,
    "cachedContent": None,
    "serviceTier": None,
    "store": None,
}
NOT_HERE: dict[str, tuple[str, ...]] = {
    "FunctionCall": ("partialArgs", "willContinue"),
    "Blob": ("displayName",),
    "FileData": ("displayName",),
    "GenerationConfig": ("audioTimestamp", "routingConfig", "modelSelectionConfig"),
    "Tool": ("retrieval", "enterpriseWebSearch", "parallelAiSearch", "exaAiSearch"),
    "Schema": ("additionalProperties", "additional_properties", "defs", "ref", "$defs", "$ref"),
}


OWN_NAMES = ("args", "response", "properties", "parametersJsonSchema", "responseJsonSchema", "labels")
"""Fields whose names further in are the client's own."""


def camel(value: Any) -> Any:
    """Names as `inline_data` become `inlineData`, which is the same to Google."""
    if isinstance(value, list):
        return [camel(each) for each in value]
    if not isinstance(value, dict):
        return value
    names = {name: re.sub("_([a-z])", lambda match: match[1].upper(), name) for name in value}
    return {names[name]: each if names[name] in OWN_NAMES else camel(each) for name, each in value.items()}


def check_request(body: dict[str, Any], model: str) -> None:
    """Raises RefusedError."""
    for name, value in body.items():
        if name not in FIELDS:
            raise RefusedError(f'Invalid JSON payload received. Unknown name "{name}": Cannot find field.')
        for each in value if isinstance(value, list) else [value]:
            if FIELDS[name] is not None:
                _check_shape(FIELDS[name], each, name)
    _check_config(body.get("generationConfig", {}), model)
    functions = list(_check_tools(body.get("tools", [])))
    only = body.get("toolConfig", {}).get("functionCallingConfig", {})
    if set(only.get("allowedFunctionNames", ())) - set(functions):
        raise RefusedError("The allowed function names must be a subset of the declared functions.")
    if only.get("allowedFunctionNames") and only.get("mode") not in ("ANY", "VALIDATED"):
        raise RefusedError("Please set allowed_function_names only when function calling mode is ANY.")
    _check_contents(body.get("contents") or [], model)


def _check_shape(shape: type[BaseModel], value: Any, path: str) -> None:
    try:
        shape.model_validate(value)
    except AttributeError:  # an enum as its number, which Google takes and its SDK does not
        return
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(step) for step in first["loc"])
        if first["type"] == "extra_forbidden":
            name = first["loc"][-1]
            raise RefusedError(
                f"Invalid JSON payload received. Unknown name \"{name}\" at '{path}.{where}': Cannot find field."
            ) from None
        raise RefusedError(f"Invalid value at '{path}.{where}' ({first['msg']})") from None
    _check_here(shape, value, path)


def _check_here(shape: type[BaseModel], value: Any, path: str) -> None:
    """That no field is Vertex AI's alone, all the way down."""
    if not isinstance(value, dict):
        return
    for name in NOT_HERE.get(shape.__name__, ()):
        if name in value:
            raise RefusedError(
                f"Invalid JSON payload received. Unknown name \"{name}\" at '{path}': Cannot find field."
            )
    for info in shape.model_fields.values():
        inner = value.get(str(info.alias))
        below = next((each for each in _classes(info.annotation)), None)
        if inner is None or below is None:
            continue
        by_name = shape is types.Schema and info.alias == "properties"
        for each in inner.values() if by_name else inner if isinstance(inner, list) else [inner]:
            _check_here(below, each, f"{path}.{info.alias}")


def _classes(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in getattr(annotation, "__args__", ()):
        yield from _classes(inner)


def is_third(model: str) -> bool:
    """Whether a model insists on its signatures, and thinks in levels."""
    return re.match(r"gemini-[3-9]", model) is not None


def _check_config(config: dict[str, Any], model: str) -> None:
    thinking = config.get("thinkingConfig", {})
    if "thinkingLevel" in thinking and "thinkingBudget" in thinking:
        raise RefusedError("You can only set only one of thinking budget and thinking level.")
    if "thinkingLevel" in thinking and not is_third(model):
        raise RefusedError("Thinking level is not supported for this model.")
    if "pro" in model and thinking.get("thinkingBudget") == 0:
        raise RefusedError("Budget 0 is invalid. This model only works in thinking mode.")
    shaped = "responseSchema" in config or "responseJsonSchema" in config
    if shaped and config.get("responseMimeType") != "application/json":
        raise RefusedError(
            "For controlled generation of only valid JSON output, the response mimetype must be application/json"
        )
    if "responseSchema" in config and "responseJsonSchema" in config:
        raise RefusedError("Only one of response_schema and response_json_schema can be set.")
    if not 0 <= config.get("temperature", 1) <= 2:
        raise RefusedError("* GenerateContentRequest.generation_config.temperature: temperature must be in [0.0, 2.0].")
    if len(config.get("stopSequences", ())) > 5:
        raise RefusedError("* GenerateContentRequest.generation_config.stop_sequences: at most 5 are allowed.")
    _check_schema(config.get("responseSchema"), "generation_config.response_schema")


def _check_tools(tools: list[dict[str, Any]]) -> Iterator[str]:
    for place, tool in enumerate(tools):
        for number, function in enumerate(tool.get("functionDeclarations", ())):
            path = f"GenerateContentRequest.tools[{place}].function_declarations[{number}]"
            if not FUNCTION_NAME.fullmatch(function.get("name", "")):
                raise RefusedError(
                    f"* {path}.name: Invalid function name. Must start with a letter or an underscore. Must be "
                    "alphanumeric (a-z, A-Z, 0-9), underscores (_), dots (.), colons (:), or dashes (-), with a "
                    "maximum length of 128."
                )
            if "parameters" in function and "parametersJsonSchema" in function:
                raise RefusedError(f"* {path}: parameters and parameters_json_schema are mutually exclusive.")
            _check_schema(function.get("parameters"), f"{path}.parameters")
            yield function["name"]


def _check_schema(schema: dict[str, Any] | None, path: str) -> None:
    if schema is None:
        return
    kind = str(schema.get("type", "")).upper()
    if not kind and "anyOf" not in schema:
        raise RefusedError(f"* {path}: schema didn't specify the schema type field")
    if "enum" in schema and kind not in ("STRING", ""):
        raise RefusedError(f"* {path}.enum: only allowed for STRING type")
    if kind == "ARRAY" and "items" not in schema:
        raise RefusedError(f"* {path}.items: missing field.")
    for name in schema.get("required", ()):
        if name not in schema.get("properties", {}):
            raise RefusedError(f"* {path}.required[0]: property is not defined")
    for name, inner in schema.get("properties", {}).items():
        _check_schema(inner, f"{path}.properties[{name}]")
    _check_schema(schema.get("items"), f"{path}.items")
    for number, inner in enumerate(schema.get("anyOf", ())):
        _check_schema(inner, f"{path}.any_of[{number}]")


def _check_contents(contents: list[dict[str, Any]], model: str) -> None:
    if not contents:
        raise RefusedError("* GenerateContentRequest.contents: contents is not specified")
    for place, content in enumerate(contents):
        path = f"GenerateContentRequest.contents[{place}]"
        if content.get("role", "user") not in ("user", "model"):
            raise RefusedError("Please use a valid role: user, model.")
        if not content.get("parts"):
            raise RefusedError(f"* {path}.parts: contents.parts must not be empty.")
        for number, part in enumerate(content["parts"]):
            _check_part(part, f"{path}.parts[{number}]")
    _check_calls(contents)
    if is_third(model):
        _check_signatures(contents)


def _check_part(part: dict[str, Any], path: str) -> None:
    data = part.keys() - {"thought", "thoughtSignature", "mediaResolution", "videoMetadata", "partMetadata"}
    if len(data) != 1:
        raise RefusedError(f"* {path}.data: required oneof field 'data' must have one initialized field")
    for kind in ("functionCall", "functionResponse"):
        if kind in part and not part[kind].get("name"):
            raise RefusedError(f"* {path}.{'_'.join(re.split('(?=[A-Z])', kind)).lower()}.name: Name cannot be empty.")
    if "functionResponse" in part and not isinstance(part["functionResponse"].get("response"), dict):
        raise RefusedError(f"* {path}.function_response.response: Field is required.")
    if "inlineData" in part:
        if not re.fullmatch(r"\w+/[\w.+-]+", part["inlineData"].get("mimeType", "")):
            raise RefusedError(f"* {path}.inline_data.mime_type: is not valid.")
        _decode(part["inlineData"]["data"], f"{path}.inline_data.data")
    if "fileData" in part and not re.match("https://|gs://", part["fileData"]["fileUri"]):
        raise RefusedError("Invalid or unsupported file uri: " + part["fileData"]["fileUri"])
    if "thoughtSignature" in part and not is_sentinel(part["thoughtSignature"]):
        _decode(part["thoughtSignature"], f"{path}.thought_signature")


def standard(data: str) -> str:
    """Bytes in JSON may be in either alphabet of base64; this one is the standard one."""
    return data.replace("-", "+").replace("_", "/")


def is_sentinel(signature: str) -> bool:
    """In plain, or in base64 as an SDK that takes bytes writes it."""
    return signature in SENTINELS or standard(signature).rstrip("=") in (
        base64.b64encode(each.encode()).decode().rstrip("=") for each in SENTINELS
    )


def _decode(data: str, path: str) -> None:
    try:
        base64.b64decode(standard(data), validate=True)
    except binascii.Error:
        raise RefusedError(f"Invalid value at '{path}' (TYPE_BYTES), Base64 decoding failed") from None


def _check_calls(contents: list[dict[str, Any]]) -> None:
    for place, content in enumerate(contents):
        answered = [part for part in content["parts"] if "functionResponse" in part]
        before = contents[place - 1]["parts"] if place else []
        called = [part for part in before if "functionCall" in part]
        if len(answered) != len(called):
            raise RefusedError(
                "Please ensure that the number of function response parts is equal to the number of function call "
                "parts of the function call turn."
            )
        names = [(part["functionCall"]["name"], part["functionCall"].get("id")) for part in called]
        given = [(part["functionResponse"]["name"], part["functionResponse"].get("id")) for part in answered]
        if any(
            name != wanted or (number and known and number != known)
            for (name, number), (wanted, known) in zip(given, names, strict=True)
        ):
            raise RefusedError("Please ensure that function responses are in the order of their function calls.")
        calls = any("functionCall" in part for part in content["parts"])
        if calls and (place == 0 or content.get("role") != "model" or contents[place - 1].get("role") == "model"):
            raise RefusedError(
                "Please ensure that function call turn comes immediately after a user turn or after a function "
                "response turn."
            )


def signed_content(part: dict[str, Any]) -> str:
    """What a function call's signature is made over."""
    call = part["functionCall"]
    return f"{call['name']}{canonical(call.get('args') or {})}"


def _check_signatures(contents: list[dict[str, Any]]) -> None:
    """The first call of each step since the user's last text has its own signature."""
    begun = max(
        (
            place
            for place, content in enumerate(contents)
            if content.get("role", "user") == "user"
            and any("functionResponse" not in part for part in content["parts"])
        ),
        default=0,
    )
    for place, content in enumerate(contents[begun:], begun):
        calls = [part for part in content["parts"] if "functionCall" in part]
        if calls and "thoughtSignature" not in calls[0]:
            raise RefusedError(
                "Function call is missing a thought_signature in functionCall parts. This is required for tools to "
                "work correctly, and missing thought_signature may lead to degraded model performance. Additional "
                f"data, function call `default_api:{calls[0]['functionCall']['name']}` , position {place + 1}."
            )
        for part in calls:
            signature = part.get("thoughtSignature")
            if signature and not is_sentinel(signature) and standard(signature) != sign(MAKER, signed_content(part)):
                raise RefusedError("Thought signature is not valid.")
