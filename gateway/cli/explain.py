"""`llmgateway keys explain`: what a provider's answer means, by which rule or row, and what follows for the key.

Needs the configuration and nothing else: no daemon is asked, no provider called. The judgement is the one that the
daemon would give; what follows is worked out for a key that was valid until then.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gateway.cli.table import duration, moment, print_json, printable
from gateway.errors import GatewayError

if TYPE_CHECKING:
    from gateway.config.provider import ProviderConfig
    from gateway.providers.classify import Judgement

BODY_LIMIT = 256 * 1024
"""Bytes of a body that are read: as many as the daemon reads of an error."""


def add_parser(actions: Any) -> None:
    """Register `keys explain` among the actions of `keys`."""
    explain = actions.add_parser("explain", help="what an answer of a provider means for the key")
    explain.add_argument("--provider", required=True, metavar="NAME")
    explain.add_argument("--status", required=True, type=_status, help="HTTP status of the answer")
    explain.add_argument("--header", action="append", default=[], type=_header, metavar="'NAME: VALUE'")
    explain.add_argument("--body", default="", metavar="FILE", help="the answer's body; - for stdin")
    explain.add_argument("--model", default="", help="the model that was asked for")
    explain.add_argument("--json", action="store_true", help="for scripts")
    explain.add_argument("--config", metavar="FILE", help="configuration file")
    explain.set_defaults(run=run_explain)


def run_explain(args: argparse.Namespace) -> int:
    provider = _provider(args)
    now = time.time()
    judged = _judge(provider, args.status, args.header, _body(args.body), now)
    answer = {
        "provider": provider.name,
        "type": provider.type,
        "decided_by": _decided_by(provider, judged),
        "verdict": _verdict(judged),
        "key": _follows(judged, provider, args.model, now),
    }
    if args.json:
        print_json(answer)
    else:
        _show(answer, now)
    return 0


def _judge(
    provider: ProviderConfig, status: int, headers: list[tuple[bytes, bytes]], body: bytes, now: float
) -> Judgement:
    """An error inside a 200 is judged by the status that it carries."""
    from gateway import jsonlib
    from gateway.policy.facts import status_inside
    from gateway.providers import meanings_of
    from gateway.providers.classify import judge_answer

    if status < 400:
        try:
            status = status_inside(jsonlib.loads(body))
        except ValueError:
            raise GatewayError(f"a {status} whose body is no JSON is no error") from None
    return judge_answer(meanings_of(provider), status, headers, body, now)


def _decided_by(provider: ProviderConfig, judged: Judgement) -> dict[str, Any]:
    """`table`: "rules", the provider's type, "common", or "none" when nothing matched."""
    from gateway.policy.verdict import COMMON_ROWS
    from gateway.providers import PROVIDER_TYPES

    if judged.rule is not None:
        rule = judged.rule
        return {"table": "rules", "rule": rule.number, "priority": rule.priority, "description": rule.description}
    # By identity: two tables may hold equal rows.
    tables = {provider.type: PROVIDER_TYPES[provider.type].rows, "common": COMMON_ROWS}
    table = next((name for name, rows in tables.items() if any(row is judged.row for row in rows)), "none")
    return {"table": table, "row": judged.row.reason}


def _verdict(judged: Judgement) -> dict[str, Any]:
    verdict, hint = judged.verdict, judged.hint
    return {
        "status": str(verdict.status),
        "scope": str(verdict.scope),
        "reason": verdict.reason,
        "until": verdict.until,
        "wait": verdict.wait,
        "source": hint.source if hint else None,
        "said": hint.raw if hint else None,
        "doubted": _doubted(judged),
        "evidence": verdict.evidence,
    }


def _doubted(judged: Judgement) -> dict[str, Any] | None:
    """A time that the provider named and nobody believes."""
    if judged.doubted is None:
        return None
    return {"source": judged.doubted.source, "said": judged.doubted.raw, "why": judged.why}


def _follows(judged: Judgement, provider: ProviderConfig, model: str, now: float) -> dict[str, Any]:
    """The standing of a valid key after the verdict. `until` in unix seconds; `model` where it counts for that one."""
    from gateway.policy.health import LIFTED_BY_PROBE, LIFTED_FOR_MODEL, VALID, WAKE_OF, Wake, advance, is_fault
    from gateway.policy.verdict import Scope, Status
    from gateway.providers import probe_kind

    verdict = judged.verdict
    if verdict.scope is Scope.CLIENT:
        then = "nothing: the answer is forwarded, no key is blamed"
        if verdict.status is Status.NO_MODEL:
            then += "; if another key has answered for that model, this key is benched for it (no_model)"
        return {"status": "valid", "until": None, "model": None, "then": then}
    if not verdict.blames_key:
        then = "tried again, another key first; the key is not benched"
        if is_fault(verdict):
            rest = duration(provider.health.server_error)
            then = f"tried again, another key first; benched for {rest} only by two in a row while other keys succeed"
        return {"status": "valid", "until": None, "model": None, "then": then}
    standing = advance(VALID, verdict, now, provider.health)
    then = "returns as it was" if WAKE_OF.get(standing.status) is Wake.RETURN else "one request tries it"
    if standing.status is Status.SUSPECT:
        confirmed = advance(standing, verdict, now, provider.health, confirmations=1).status
        kind = probe_kind(provider.probe.kind, provider.type)
        lifted = LIFTED_FOR_MODEL if verdict.scope is Scope.KEY_MODEL else LIFTED_BY_PROBE
        if Status.SUSPECT not in lifted[kind]:
            then = f"one request tries it; a second rejection makes it {confirmed}"
        else:
            attempts = provider.health.verification_attempts
            then = f"it is probed; {attempts} more rejections in a row make it {confirmed}"
    takes = "another key takes the request"
    if standing.status is Status.RATE_LIMITED and verdict.until is None:
        takes += ", unless this is the last usable one, which is not benched without a named time"
    one_model = verdict.scope is Scope.KEY_MODEL
    return {
        "status": str(standing.status),
        "until": standing.until,
        "model": (model or "that model") if one_model else None,
        "then": f"{takes}; at the end of the rest {then}",
    }


def _show(answer: dict[str, Any], now: float) -> None:
    by, verdict, key = answer["decided_by"], answer["verdict"], answer["key"]
    if by["table"] == "rules":
        decided = f"rule {by['rule']} (priority {by['priority']}): {by['description'] or 'no description'}"
    elif by["table"] == "none":
        decided = "no rule and no row: what nobody names is the client's"
    else:
        decided = f"the table of {by['table']}, row {by['row']}".replace("of common", "common to all")
    named = "not named by the provider"
    if verdict["until"] is not None:
        named = f"{_until(verdict['until'], now)}, by {verdict['source']}: {verdict['said']}"
    elif verdict["wait"] is not None:
        named = f"no retry within {duration(verdict['wait'])}, by {verdict['source']}: {verdict['said']}"
    elif (doubted := verdict["doubted"]) is not None:
        named = f"named by {doubted['source']} ({doubted['said']}), but not believed: {doubted['why']}"
    rest = f"{key['status']} until {_until(key['until'], now)}" if key["until"] else key["status"]
    for title, text in (
        ("provider", f"{answer['provider']} ({answer['type']})"),
        ("decided by", decided),
        ("verdict", f"{verdict['status']}, about the {verdict['scope']}, reason {verdict['reason']}"),
        ("until", named),
        ("evidence", verdict["evidence"]),
        ("the key", f"{rest}{' for ' + key['model'] if key['model'] else ''}"),
        ("then", key["then"]),
    ):
        print(f"{title:<11} {printable(text)}")


def _until(until: float, now: float) -> str:
    return f"{moment(until)} (in {duration(until - now)})"


def _provider(args: argparse.Namespace) -> ProviderConfig:
    from gateway.config.load import find_config, load_config
    from gateway.providers import PROVIDER_FACTS

    config = load_config(find_config(args.config, os.environ), os.environ, provider_types=PROVIDER_FACTS)
    provider = config.providers.get(args.provider)
    if provider is None:
        names = ", ".join(config.providers) or "none"
        raise GatewayError(f"there is no provider {args.provider!r}", hint=f"providers: {names}")
    return provider


def _body(path: str) -> bytes:
    if not path:
        return b""
    if path != "-":
        with Path(path).open("rb") as file:
            return file.read(BODY_LIMIT)
    if sys.stdin is None:
        raise GatewayError("there is no stdin to read the body from")
    return sys.stdin.buffer.read(BODY_LIMIT)


def _status(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) == 3 and (text == "200" or "400" <= text <= "599")):
        raise argparse.ArgumentTypeError(f"{text!r} is no status of an error: 400 to 599, or 200 with an error inside")
    return int(text)


def _header(text: str) -> tuple[bytes, bytes]:
    name, colon, value = text.partition(":")
    if not colon or not name.strip() or not text.isascii():
        raise argparse.ArgumentTypeError(f"{text!r} is no header; write 'NAME: VALUE'")
    return name.strip().lower().encode(), value.strip().encode()
