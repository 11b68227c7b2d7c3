"""The header of an answer: what the client hears of the provider's, and what the gateway adds."""

from __future__ import annotations

from gateway.conductor.ask import Ask, Header
from gateway.observe.record import RequestRecord, decimal
from gateway.providers.openai import FORWARDED_TO_CLIENT, REQUEST_IDS
from gateway.upstream.exchange import Outcome

KEPT_INSIDE = frozenset(
    {
        b"connection", b"keep-alive", b"proxy-authenticate", b"proxy-connection", b"te", b"trailer",
        b"transfer-encoding", b"upgrade", b"content-length", b"set-cookie", b"set-cookie2", b"alt-svc",
        b"strict-transport-security",
    }
)  # fmt: skip
"""Hop-by-hop fields (RFC 9110, 7.6.1), cookies, and promises about the provider's host that would not hold for ours."""

CORS_HEADERS = b"access-control-"
"""Which pages may read an answer is for `server.cors_origins` to say; twice the same field, and none may."""

JSON: Header = (b"content-type", b"application/json")
EVENTS: Header = (b"content-type", b"text/event-stream; charset=utf-8")

DROPPED_LIMIT = 2000
"""Characters of x-llmgateway-dropped: twenty paths of a deep request; clients take heads of 8 KB."""


def answer_headers(ask: Ask, outcome: Outcome, record: RequestRecord, lost: str, *, translated: bool) -> list[Header]:
    """The answer's own type, and who answered. On `/p/…` all but what concerns our side. `lost` is what the provider
    did not hear, or the client will not."""
    headers: list[Header] = []
    dropped = KEPT_INSIDE
    if ask.shape == "raw":
        dropped |= named_hop_by_hop(outcome.header(b"connection"))
    forwarded = frozenset[bytes]() if translated else FORWARDED_TO_CLIENT
    for name, value in outcome.headers:
        if name in REQUEST_IDS:
            headers.append((b"x-llmgateway-upstream-id", value))
        elif name in forwarded or (ask.shape == "raw" and name not in dropped and not name.startswith(CORS_HEADERS)):
            headers.append((name, value))
    headers.append((b"x-llmgateway-provider", record.provider.encode()))
    headers.append((b"x-llmgateway-attempts", b"%d" % record.attempts))
    if record.upstream_model:
        headers.append((b"x-llmgateway-model", _field(record.upstream_model)))
    if lost:
        headers.append((b"x-llmgateway-dropped", _field(lost, DROPPED_LIMIT)))
    if "admin" in ask.identity.scopes:
        headers.append((b"x-llmgateway-key", _field(record.key.replace("…", "..."))))
    if record.cost is not None:
        headers.append((b"x-llmgateway-cost", decimal(record.cost).encode()))
    headers.append((b"x-request-id", record.request_id.encode()))
    return headers


def named_hop_by_hop(connection: bytes | None) -> frozenset[bytes]:
    """The fields that a Connection header declares to be for the next hop only (RFC 9110, 7.6.1)."""
    return frozenset(token.strip().lower() for token in connection.split(b",")) if connection else frozenset()


def promised_length(outcome: Outcome) -> int | None:
    """What the body was promised to have. A length beside a Transfer-Encoding counts for nothing (RFC 9112, 6.3)."""
    if outcome.header(b"transfer-encoding") is not None:
        return None
    value = outcome.header(b"content-length") or b""
    return int(value) if value.isdigit() else None


def _field(text: str, limit: int = 200) -> bytes:
    """A header value of a text that came from a client: anything but plain ASCII becomes `?`."""
    if text.isascii() and text.isprintable():
        return text[:limit].encode()
    return bytes(code if 32 <= code < 127 else 63 for code in text[:limit].encode("ascii", "replace"))
