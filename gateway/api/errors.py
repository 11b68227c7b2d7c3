"""An error of ours as an HTTP answer, in the shape of the surface it is for."""

from __future__ import annotations

import math

from gateway.dialects.openai_chat.errors import error_body
from gateway.errors import RequestError
from gateway.net.connection import Request

Header = tuple[bytes, bytes]

JSON = (b"content-type", b"application/json")


def render(error: RequestError, request_id: str = "") -> tuple[int, list[Header], bytes]:
    """Status, headers and body. Retry-After is in whole seconds, rounded up; retry-after-ms is exact."""
    headers = [JSON]
    if error.retry_after is not None:
        headers.append((b"retry-after", b"%d" % max(1, math.ceil(error.retry_after))))
        headers.append((b"retry-after-ms", b"%d" % math.ceil(error.retry_after * 1000)))
    if error.status == 401:
        headers.append((b"www-authenticate", b'Bearer realm="llmgateway"'))
    if error.status == 405 and error.extra and "allow" in error.extra:
        headers.append((b"allow", str(error.extra["allow"]).encode()))
    if request_id:
        headers.append((b"x-request-id", request_id.encode()))
    return error.status, headers, error_body(error)


def refuse(
    request: Request | None, error: RequestError, peer: str, *, handled: bool
) -> tuple[int, list[Header], bytes]:
    """What a server says by itself of which nobody keeps a record."""
    return render(error)
