"""The OpenAI surface: chat completions, completions, embeddings, responses, moderations, images, audio, rerank.

https://platform.openai.com/docs/api-reference. A body is parsed once, for the fields that decide where it goes; what
is sent on are the client's own bytes. Unknown fields are nobody's business here.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any
from urllib.parse import unquote

from gateway import jsonlib
from gateway.api.bodies import read_model, read_object, read_stream, require
from gateway.api.inbound import Inbound
from gateway.api.multipart import read_fields
from gateway.conductor.ask import Ask
from gateway.conductor.auth import without_credential
from gateway.conductor.conductor import Conductor, has_dot_segment
from gateway.conductor.rename import insert_field, replace_model
from gateway.dialects.openai_chat import events as chat_events
from gateway.dialects.openai_responses import events as responses_events
from gateway.errors import RequestError, UpstreamError
from gateway.net.connection import Reply
from gateway.providers.openai import ADDED_TO_REQUEST, FORWARDED_TO_PROVIDER
from gateway.quick import dataclass


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One POST endpoint: how its answers are read, and the field that a body must have."""

    shape: str
    required: str = ""
    kind: type | tuple[type, ...] = object


ENDPOINTS: Mapping[str, Endpoint] = {
    "/v1/chat/completions": Endpoint("chat", "messages", list),
    "/v1/chat/completions/stream": Endpoint("chat", "messages", list),
    "/v1/completions": Endpoint("completions"),
    "/v1/embeddings": Endpoint("embeddings", "input"),
    "/v1/responses": Endpoint("responses"),
    "/v1/responses/compact": Endpoint("other"),
    "/v1/responses/input_tokens": Endpoint("other"),
    "/v1/moderations": Endpoint("other", "input"),
    "/v1/rerank": Endpoint("other"),
}

FAMILIES = ("/v1/images/", "/v1/audio/")
OTHER = Endpoint("other")
"""Endpoints of these families come and go; what is below them is forwarded alike. They alone take forms: who reads a
conversation as JSON, whatever its type says, would see another model than was looked for in the form."""

FORCED_STREAM = "/v1/chat/completions/stream"


class OpenAISurface:
    """Reads what OpenAI's SDKs send into asks."""

    def __init__(self, conductor: Conductor) -> None:
        self._conductor = conductor

    async def post(self, inbound: Inbound, reply: Reply) -> None:
        """Any of ENDPOINTS, and what is below FAMILIES."""
        endpoint = ENDPOINTS.get(inbound.path)
        if endpoint is None:
            if has_dot_segment(inbound.path):
                raise RequestError(404, "not_found", f"There is nothing at {inbound.path[:200]}.")
            endpoint = OTHER
        content_type = inbound.fields.get(b"content-type", b"")
        if endpoint is OTHER and content_type[:19].lower() == b"multipart/form-data":
            ask = self._multipart_ask(inbound, endpoint, content_type)
        else:
            ask = self._json_ask(inbound, endpoint)
        await self._conductor.serve(ask, reply, inbound.record)

    async def response(self, inbound: Inbound, reply: Reply) -> None:
        """`/v1/responses/ID` and below: fetch, delete, cancel, list the input of an answer that was made here."""
        response_id, _, rest = inbound.path.removeprefix("/v1/responses/").partition("/")
        method = inbound.request.method
        allowed = RESPONSE_METHODS.get(rest)
        if not response_id or allowed is None:
            raise RequestError(404, "not_found", f"There is nothing at {inbound.path[:200]}.")
        if method not in allowed:
            raise RequestError(
                405, "method_not_allowed", f"{method} is not for this path.", extra={"allow": ", ".join(allowed)}
            )
        ask = self._ask(inbound, "stored", inbound.request.body)
        ask.continues = unquote(response_id)
        ask.stream = "stream=true" in inbound.request.query
        ask.error_event = _responses_error_event
        await self._conductor.serve(ask, reply, inbound.record)

    def _json_ask(self, inbound: Inbound, endpoint: Endpoint) -> Ask:
        body = inbound.request.body
        decoded = read_object(body)
        model = read_model(decoded, body, inbound.identity)
        stream = read_stream(decoded)
        if endpoint.required:
            require(decoded, endpoint.required, endpoint.kind)
        if inbound.path == FORCED_STREAM and not stream:
            known = "stream" in decoded
            body = jsonlib.dumps({**decoded, "stream": True}) if known else insert_field(body, decoded, "stream", True)
            stream = decoded["stream"] = True
        ask = self._ask(inbound, endpoint.shape, body)
        ask.model, ask.stream, ask.fields = model, stream, decoded
        ask.with_model = partial(replace_model, body, decoded)
        if endpoint.shape == "responses":
            previous = decoded.get("previous_response_id")
            if isinstance(previous, str):
                ask.continues = previous
            ask.error_event = _responses_error_event
        else:
            ask.error_event = _chat_error_event
        return ask

    def _multipart_ask(self, inbound: Inbound, endpoint: Endpoint, content_type: bytes) -> Ask:
        body = inbound.request.body
        ask = self._ask(inbound, endpoint.shape, body)
        fields = read_fields(body, content_type, ("model", "stream", "n"))
        field = fields.get("model")
        if field is not None:
            ask.model = field.value
            ask.with_model = lambda model: body[: field.start] + model.encode() + body[field.end :]
        ask.form_n = fields["n"].value if "n" in fields else None
        ask.stream = "stream" in fields and fields["stream"].value == "true"
        return ask

    def _ask(self, inbound: Inbound, shape: str, body: bytes) -> Ask:
        fields = inbound.fields
        headers = [(name, fields[name]) for name in FORWARDED_TO_PROVIDER if name in fields]
        headers.extend(ADDED_TO_REQUEST)
        path = inbound.path[3:]  # what follows "/v1" follows the provider's base URL
        if inbound.path == FORCED_STREAM:
            path = "/chat/completions"
        session = fields.get(b"x-session-id")
        return Ask(
            inbound.request.method.encode(),
            "openai_responses" if shape in ("responses", "stored") else "openai_chat",
            path,
            without_credential(inbound.request.query),
            tuple(headers),
            body,
            "",
            shape,
            inbound.identity,
            session="" if session is None else session.decode("latin-1"),
            cache_control=fields.get(b"cache-control", b""),
        )


RESPONSE_METHODS: Mapping[str, tuple[str, ...]] = {
    "": ("GET", "DELETE"),
    "cancel": ("POST",),
    "input_items": ("GET",),
}


def _chat_error_event(error: UpstreamError) -> bytes:
    return chat_events.error_event(_describe(error))


def _responses_error_event(error: UpstreamError) -> bytes:
    return responses_events.error_event(_describe(error))


def _describe(error: UpstreamError) -> dict[str, Any]:
    """The error object of an event after the commit point."""
    return {"message": error.told, "type": "api_error", "param": None, "code": error.code}
