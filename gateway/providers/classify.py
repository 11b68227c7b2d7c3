"""Putting an answer's parts together into a verdict: the operator's rules, the vendor's rows, the common rows, the hint
for `until`.

`judge_answer` says what decided, too, for those who ask (`llmgateway keys explain`); `classify_answer` gives its
verdict alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from gateway import jsonlib
from gateway.errors import ProxyError, UpstreamError, UpstreamTimeout
from gateway.policy.error_rules import Rule, find_rule
from gateway.policy.facts import read_facts, status_inside
from gateway.policy.proxyhealth import BEYOND_PROXY, PROXY_FAILED
from gateway.policy.verdict import EVIDENCE_LIMIT, Provenance, Row, Scope, Status, Verdict, decide_row
from gateway.quick import dataclass
from gateway.wire.retry_after import Hint, hint

HINTED = frozenset({Status.RATE_LIMITED, Status.NO_QUOTA})
"""Verdicts on keys whose end the provider may name."""

QUOTA_HINT_FLOOR = 60.0
"""Seconds. A used-up quota that is said to be back sooner is a rate limit's header beside a quota's error."""

NOT_HINTED = "only the end of a rate limit, a quota or a fault of its own is the provider's to name"
TOO_SOON = f"a used-up quota is not back within {QUOTA_HINT_FLOOR:g} s: that is a rate limit's time"
"""Why a hint is not followed."""

Headers = Sequence[tuple[bytes, bytes]]


@dataclass(frozen=True, slots=True)
class Meanings:
    """What a provider's errors mean: the operator's rules in their order, and the rows of its type."""

    rules: tuple[Rule, ...] = ()
    rows: tuple[Row, ...] = ()


@dataclass(frozen=True, slots=True)
class Judgement:
    """A verdict, the row behind it, the rule where it was the operator's, the hint that was followed; or else the one
    that was `doubted`, and `why`."""

    verdict: Verdict
    row: Row
    rule: Rule | None
    hint: Hint | None
    doubted: Hint | None = None
    why: str = ""


def judge_answer(
    meanings: Meanings, status: int, headers: Headers, body: bytes, now: float, conceal: Callable[[str], str] = str
) -> Judgement:
    """The judgement on an error answer. `now` in unix seconds, `headers` with lower-case names.

    `conceal` takes the key out of what the provider said: some repeat the one they reject.
    """
    content_type = next((value for name, value in headers if name == b"content-type"), b"").decode("latin-1").lower()
    try:
        decoded = jsonlib.loads(body)
    except ValueError:
        decoded = None
    text = body.decode("utf-8", "replace")
    facts = read_facts(status, decoded, text, content_type)
    rule = find_rule(meanings.rules, status, decoded, text)
    row = decide_row(facts, meanings.rows) if rule is None else rule.row
    at_fault = row.scope is Scope.PROVIDER
    named = hint(headers, decoded, facts.message or text, now, limits=not at_fault)
    said = named if at_fault else _time_named(row, named, now)
    until, provenance, wait, hinted = None, Provenance.HEURISTIC, None, ""
    if said is not None:
        hinted = f"({said.source}: {said.raw})"
    if said is not None and at_fault:
        wait = said.seconds
    elif said is not None:
        until, provenance = now + said.seconds, Provenance.AUTHORITATIVE
    evidence = " ".join(filter(None, (f"{status}", facts.code or facts.type, hinted, facts.message)))
    verdict = Verdict(row.scope, row.verdict, row.reason, until, provenance, conceal(evidence)[:EVIDENCE_LIMIT], wait)
    if said is None and named is not None:
        return Judgement(verdict, row, rule, None, named, TOO_SOON if row.verdict in HINTED else NOT_HINTED)
    return Judgement(verdict, row, rule, said)


def _time_named(row: Row, said: Hint | None, now: float) -> Hint | None:
    """The end of a key's rest that the provider named, where it may name one: its calendar before its hints."""
    if row.verdict not in HINTED:
        return None
    if row.reset is not None:
        return Hint(row.reset.next(now) - now, "quota", row.reset.name)
    if said is not None and row.verdict is Status.NO_QUOTA and said.seconds < QUOTA_HINT_FLOOR:
        return None
    return said


def classify_answer(
    meanings: Meanings, status: int, headers: Headers, body: bytes, now: float, conceal: Callable[[str], str] = str
) -> Verdict:
    """The verdict on an error answer; see `judge_answer`."""
    return judge_answer(meanings, status, headers, body, now, conceal).verdict


def classify_inside(
    meanings: Meanings, headers: Headers, error: object, now: float, conceal: Callable[[str], str] = str
) -> Verdict:
    """The verdict on an error that came inside a 200, judged as if it had the status it carries."""
    return classify_answer(meanings, status_inside(error), headers, jsonlib.dumps(error), now, conceal)


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
REDIRECTED = Verdict(Scope.PROVIDER, Status.SERVER_ERROR, "redirected", evidence="a redirect, which is not followed")
"""It would take the key to another host."""
