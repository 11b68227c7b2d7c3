"""The Gemini surface: `POST /v1beta/models/M:METHOD`, and the same below `/v1`, which newer SDKs call.

https://ai.google.dev/api/generate-content. The model and the wish for a stream stand in the path; without `alt=sse` a
stream is one JSON array, which comes piece by piece, too.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, unquote, urlencode

from gateway import jsonlib
from gateway.api.bodies import read_object, require
from gateway.api.inbound import Inbound
from gateway.api.models import ModelsSurface
from gateway.conductor.ask import Ask
from gateway.conductor.conductor import Conductor
from gateway.errors import RequestError, UpstreamError
from gateway.net.connection import Reply
from gateway.providers.openai import ADDED_TO_REQUEST

FORWARDED = (b"content-type", b"accept", b"user-agent", b"idempotency-key", b"x-goog-api-client")


KEPT = frozenset({"prettyPrint", "quotaUser"})
"""Google's system parameters that go on, beside `alt`. Of the others some are credentials, and some leave out of the
answer what it is known by and charged for (`fields`), or wrap it (`callback`).
https://cloud.google.com/apis/docs/system-parameters"""

FORM = frozenset({"alt", "$alt"})
KNOWN_FORMS = frozenset({"json", "sse"})
NUMBERS = "enum-encoding=int"
"""Behind the form, as Google's Go client has it: `$alt=json;enum-encoding=int`."""


class Method(NamedTuple):
    """How its answers are read, and the field that a body must have."""

    shape: str
    required: str
    kind: type | tuple[type, ...] = list
    wanted: str = "an array"


METHODS: Mapping[str, Method] = {
    "generateContent": Method("generate", "contents", (list, dict)),
    "streamGenerateContent": Method("generate", "contents", (list, dict)),
    "countTokens": Method("count", ""),
    "embedContent": Method("embed", "content", dict, "an object"),
    "batchEmbedContents": Method("embed", "requests"),
}


class GeminiSurface:
    """Reads what Google's SDKs send into asks."""

    def __init__(self, conductor: Conductor, models: ModelsSurface) -> None:
        self._conductor = conductor
        self._models = models

    async def model(self, inbound: Inbound, reply: Reply) -> None:
        """Below `/models/`: a model, or a method of it."""
        if inbound.request.method == "POST":
            await self._post(inbound, reply)
        else:
            await self._models.one(inbound, reply)

    async def _post(self, inbound: Inbound, reply: Reply) -> None:
        """Any of METHODS."""
        model, _, name = unquote(inbound.path.partition("/models/")[2]).rpartition(":")
        method = METHODS.get(name)
        if method is None or not model:
            raise RequestError(404, "not_found", f"There is nothing at {inbound.path[:200]}.")
        decoded = read_object(inbound.request.body)
        if method.required:
            require(decoded, method.required, method.kind, method.wanted)
        fields = inbound.fields
        headers = [(header, fields[header]) for header in FORWARDED if header in fields]
        session = fields.get(b"x-session-id")
        ask = Ask(
            b"POST",
            "gemini",
            f"/models/{{model}}:{name}",
            _read_query(inbound.request.query),
            (*headers, *ADDED_TO_REQUEST),
            inbound.request.body,
            model,
            method.shape,
            inbound.identity,
            stream=name == "streamGenerateContent",
            fields=decoded,
            session="" if session is None else session.decode("latin-1"),
            cache_control=fields.get(b"cache-control", b""),
            with_model=partial(_with_model, decoded, inbound.request.body),
            error_event=_error_event,
            keepalive=b"",
        )
        ask.array = ask.stream and "alt=sse" not in ask.query
        await self._conductor.serve(ask, reply, inbound.record)


def _read_query(query: str) -> str:
    """What the provider gets of it. Raises RequestError 400 for a form that answers cannot be read in."""
    pairs = parse_qsl(query, keep_blank_values=True)
    forms = {tuple(value.partition(";")[::2]) for name, value in pairs if name in FORM}
    if len(forms) > 1 or any(form not in KNOWN_FORMS or enums not in ("", NUMBERS) for form, enums in forms):
        raise RequestError(400, "invalid_request_error", "Answers come as alt=json or alt=sse.", param="alt")
    kept = [(name, value) for name, value in pairs if name in KEPT]
    return urlencode([*kept, *(("$alt", f"{form};{enums}") if enums else ("alt", form) for form, enums in forms)])


def _error_event(error: UpstreamError) -> bytes:
    from gateway.conductor.stream_ends import broken_off
    from gateway.dialects.gemini.errors import write_failure

    return b"data: %b\r\n\r\n" % jsonlib.dumps(write_failure(broken_off(error)))


def _with_model(decoded: dict[str, Any], body: bytes, model: str) -> bytes:
    """The body for another model, which it names again where it asks for several things or wraps what is asked."""
    requests = decoded.get("requests")
    inner = [decoded, decoded.get("generateContentRequest"), *(requests if isinstance(requests, list) else ())]
    naming = [request for request in inner if isinstance(request, dict) and "model" in request]
    if not naming:
        return body
    for request in naming:
        request["model"] = f"models/{model}"
    return jsonlib.dumps(decoded)
