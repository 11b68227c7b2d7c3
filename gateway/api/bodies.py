"""Reading the JSON body of a request: what every surface wants to know of it, and nothing more."""

from __future__ import annotations

from typing import Any

from gateway import jsonlib
from gateway.conductor.auth import Identity
from gateway.conductor.extras import FURTHER_MODELS, VERCELS, further_models, said_twice
from gateway.errors import RequestError

NAMING = frozenset({"model", *FURTHER_MODELS, VERCELS[0]})
"""What names models."""

COMPRESSED = (b"\x1f\x8b", b"\x28\xb5\x2f\xfd")
"""How gzip (RFC 1952) and zstd (RFC 8878) begin. Nobody's SDK sends either."""


def read_object(body: bytes) -> dict[str, Any]:
    """The JSON object in a body. Raises RequestError 400."""
    try:
        decoded = jsonlib.loads(body)
    except ValueError as exc:
        why = "it is compressed" if body.startswith(COMPRESSED) else str(exc)[:200]
        raise RequestError(400, "invalid_request_error", f"The body is not valid JSON: {why}.") from None
    if not isinstance(decoded, dict):
        raise RequestError(400, "invalid_request_error", "The body must be a JSON object.")
    return decoded


def read_model(decoded: dict[str, Any], body: bytes, identity: Identity) -> str:
    """The model that a body names, "" if it names none. Raises RequestError 400."""
    model = decoded.get("model")
    if identity.models:
        if name := further_models(decoded):
            raise RequestError(
                403, "permission_denied", f"This API token is for certain models, and '{name}' names more.", param=name
            )
        if said_twice(decoded, body, NAMING):
            raise RequestError(
                400, "invalid_request_error", "The body names its model twice, and this token is for certain models.",
                param="model",
            )  # fmt: skip
    if model is None:
        return ""
    if not isinstance(model, str):
        raise wrong("model", "a string")
    return model


def read_stream(decoded: dict[str, Any]) -> bool:
    """Whether a body asks for a stream. Raises RequestError 400."""
    stream = decoded.get("stream")
    if stream is not None and not isinstance(stream, bool):
        raise wrong("stream", "true or false")
    return bool(stream)


def require(
    decoded: dict[str, Any], name: str, kind: type | tuple[type, ...] = object, wanted: str = "an array"
) -> None:
    """Raises RequestError 400 unless the body has that field, of that kind."""
    value = decoded.get(name)
    if value is None:
        raise RequestError(400, "invalid_request_error", f"Missing required parameter: '{name}'.", param=name)
    if not isinstance(value, kind):
        raise wrong(name, wanted)


def wrong(name: str, wanted: str) -> RequestError:
    return RequestError(400, "invalid_request_error", f"'{name}' must be {wanted}.", param=name)
