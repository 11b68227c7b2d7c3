"""An error of ours as an HTTP answer, in the shape of the surface it is for."""

from __future__ import annotations

import math
from collections.abc import Mapping

from gateway.dialects.openai_chat.errors import error_body
from gateway.errors import RequestError
from gateway.net.connection import Request

Header = tuple[bytes, bytes]

JSON = (b"content-type", b"application/json")


OPENAI_PATHS = (
    "/v1/chat/", "/v1/completions", "/v1/responses", "/v1/embeddings", "/v1/moderations", "/v1/images/", "/v1/audio/",
)  # fmt: skip
"""What no other dialect has, nor below."""

CREDENTIALS = {
    "openai": "Authorization: Bearer TOKEN",
    "anthropic": "x-api-key: TOKEN",
    "gemini": "x-goog-api-key: TOKEN",
}
"""How a surface's clients send their API token."""


def surface_of(method: str, path: str, fields: Mapping[bytes, bytes]) -> str:
    """Whose shape an answer of ours has, whether there is anything at the path or not: by the path where one dialect
    alone has it, else by the headers that Anthropic's and Google's clients always send."""
    if path.startswith("/v1/messages"):
        return "anthropic"
    if path.startswith(("/v1beta/", "/upload/v1beta/")):
        return "gemini"
    if path.startswith(OPENAI_PATHS):
        return "openai"
    if b"anthropic-version" in fields:
        return "anthropic"
    if b"x-goog-api-key" in fields or b"x-goog-api-client" in fields:
        return "gemini"
    return "gemini" if method == "POST" and path.startswith("/v1/models/") else "openai"


def no_token(surface: str) -> RequestError:
    return RequestError(401, "invalid_api_key", f"No API token was given: send {CREDENTIALS[surface]}.")


def render(error: RequestError, request_id: str = "", surface: str = "openai") -> tuple[int, list[Header], bytes]:
    """Status, headers and body. Retry-After is in whole seconds, rounded up; retry-after-ms is exact."""
    headers = [JSON]
    if error.retry_after is not None:
        headers.append((b"retry-after", b"%d" % max(1, math.ceil(error.retry_after))))
        headers.append((b"retry-after-ms", b"%d" % math.ceil(error.retry_after * 1000)))
    if error.status == 401:
        headers.append((b"www-authenticate", b'Bearer realm="llmgateway"'))
    if error.status == 405 and error.extra and "allow" in error.extra:
        headers.append((b"allow", str(error.extra["allow"]).encode()))
    if error.status == 426:
        headers.append((b"upgrade", b"HTTP/1.1"))
    if request_id:
        headers.append((b"x-request-id", request_id.encode()))
    return error.status, headers, _body(error, surface)


def _body(error: RequestError, surface: str) -> bytes:
    if surface == "anthropic":
        from gateway.dialects.anthropic.errors import error_body as anthropic_body

        return anthropic_body(error)
    if surface == "gemini":
        from gateway.dialects.gemini.errors import error_body as gemini_body

        return gemini_body(error)
    return error_body(error)


def refuse(
    request: Request | None, error: RequestError, peer: str, *, handled: bool
) -> tuple[int, list[Header], bytes]:
    """What a server says by itself of which nobody keeps a record."""
    return render(error)
