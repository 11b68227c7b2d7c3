"""Putting an answer's parts together into a verdict: the vendor's rows, the common rows, the hint for `until`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from gateway import jsonlib
from gateway.errors import ProxyError, UpstreamError, UpstreamTimeout
from gateway.policy.proxyhealth import BEYOND_PROXY, PROXY_FAILED
from gateway.policy.verdict import (
    EVIDENCE_LIMIT,
    Provenance,
    Row,
    Scope,
    Status,
    Verdict,
    decide_row,
    read_facts,
    status_inside,
)
from gateway.wire.retry_after import hint

HINTED = frozenset({Status.RATE_LIMITED, Status.NO_QUOTA})
"""Verdicts whose end the provider may name."""

QUOTA_HINT_FLOOR = 60.0
"""Seconds. A used-up quota that is said to be back sooner is a rate limit's header beside a quota's error."""


def classify_answer(
    rows: Iterable[Row],
    status: int,
    headers: Sequence[tuple[bytes, bytes]],
    body: bytes,
    now: float,
    conceal: Callable[[str], str] = str,
) -> Verdict:
    """The verdict on an error answer. `now` in unix seconds, `headers` with lower-case names.

    `conceal` takes the key out of what the provider said: some repeat the one they reject.
    """
    content_type = next((value for name, value in headers if name == b"content-type"), b"").decode("latin-1").lower()
    try:
        decoded = jsonlib.loads(body)
    except ValueError:
        decoded = None
    text = body.decode("utf-8", "replace")
    facts = read_facts(status, decoded, text, content_type)
    row = decide_row(facts, rows)
    until, provenance, hinted = None, Provenance.HEURISTIC, ""
    if row.verdict in HINTED:
        said = hint(headers, decoded, facts.message or text, now)
        if said is not None and (row.verdict is not Status.NO_QUOTA or said.seconds >= QUOTA_HINT_FLOOR):
            until, provenance = now + said.seconds, Provenance.AUTHORITATIVE
            hinted = f"({said.source}: {said.raw})"
    evidence = " ".join(filter(None, (f"{status}", facts.code or facts.type, hinted, facts.message)))
    return Verdict(row.scope, row.verdict, row.reason, until, provenance, conceal(evidence)[:EVIDENCE_LIMIT])


def classify_inside(
    rows: Iterable[Row],
    headers: Sequence[tuple[bytes, bytes]],
    error: object,
    now: float,
    conceal: Callable[[str], str] = str,
) -> Verdict:
    """The verdict on an error that came inside a 200, judged as if it had the status it carries."""
    return classify_answer(rows, status_inside(error), headers, jsonlib.dumps(error), now, conceal)


def classify_failure(error: UpstreamError) -> Verdict:
    """The verdict on a call that got no usable answer. Never a key's fault.

    A connection that cannot be had or breaks never benches a key; a provider that takes the request and then too long
    may, after the second time. What a proxy is to blame for says nothing about the provider either.
    """
    if isinstance(error, ProxyError):
        reason = BEYOND_PROXY if error.beyond else PROXY_FAILED
        return Verdict(Scope.PROXY, Status.NETWORK_ERROR, reason, evidence=str(error)[:EVIDENCE_LIMIT])
    late = isinstance(error, UpstreamTimeout) and error.sent
    status = Status.TIMEOUT if late else Status.NETWORK_ERROR
    reason = f"timeout_{error.phase}" if isinstance(error, UpstreamTimeout) else type(error).__name__.lower()
    return Verdict(Scope.PROVIDER, status, reason, evidence=str(error)[:EVIDENCE_LIMIT])


EMPTY_ANSWER = Verdict(Scope.PROVIDER, Status.SERVER_ERROR, "empty_answer", evidence="200 without any choice")
EMPTY_STREAM = Verdict(Scope.PROVIDER, Status.SERVER_ERROR, "empty_stream", evidence="stream without any event")
