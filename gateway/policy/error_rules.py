"""The operator's own rules for reading a provider's errors, asked before every table.

A rule holds when its status is the answer's (0: any) and its pattern is found in the text that its path leads to. The
rule with the highest priority decides, among equals the first in the file. Its `map_to` names a status or an outcome;
whom the verdict blames follows from that, by the table `MEANINGS`.

Rules come compiled, once per configuration; looking them up cannot fail, whatever the body. A rule takes no shortcut:
`invalid_key` makes a suspect like any rejection, and the provider's own time counts as for any limit.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from gateway.config.provider import ErrorParsingConfig
from gateway.config.rules import Pattern, compile_pattern, parse_path
from gateway.policy.verdict import Row, Scope, Status
from gateway.quick import dataclass

MEANINGS: Mapping[str, tuple[Scope, Status]] = {
    "rate_limited": (Scope.KEY, Status.RATE_LIMITED),
    "no_quota": (Scope.ACCOUNT, Status.NO_QUOTA),
    "no_model": (Scope.KEY_MODEL, Status.NO_MODEL),
    "no_access": (Scope.KEY, Status.NO_ACCESS),
    "invalid_key": (Scope.KEY, Status.SUSPECT),
    "suspect": (Scope.KEY, Status.SUSPECT),
    "overloaded": (Scope.PROVIDER, Status.OVERLOADED),
    "server_error": (Scope.PROVIDER, Status.SERVER_ERROR),
    "timeout": (Scope.PROVIDER, Status.TIMEOUT),
    "network_error": (Scope.PROVIDER, Status.NETWORK_ERROR),
    "unknown": (Scope.PROVIDER, Status.UNKNOWN),
    "bad_request": (Scope.CLIENT, Status.BAD_REQUEST),
}
"""What `map_to` may say, and whom it blames. The statuses that are missing are nobody's to give."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule, compiled. `number` is its place in the file, from 1; `path` is None for the raw body."""

    number: int
    status: int
    path: tuple[str | int, ...] | None
    pattern: Pattern
    row: Row
    priority: int
    description: str

    def holds(self, status: int, body: Any, text: str) -> bool:
        if self.status and self.status != status:
            return False
        found = text if self.path is None else _text_at(body, self.path)
        return found is not None and self.pattern.matches(found)


def compile_rules(parsing: ErrorParsingConfig) -> tuple[Rule, ...]:
    """The rules in the order in which they are asked. `parsing` has been validated."""
    if not parsing.enabled:
        return ()
    rules = [
        Rule(
            number,
            rule.status_code,
            parse_path(rule.error_path),
            compile_pattern(rule.match_pattern),
            Row(*MEANINGS[rule.map_to], f"rule_{number}"),
            rule.priority,
            rule.description,
        )
        for number, rule in enumerate(parsing.rules, 1)
    ]
    return tuple(sorted(rules, key=lambda rule: -rule.priority))  # stable: among equals the first stays first


def find_rule(rules: Iterable[Rule], status: int, body: Any, text: str) -> Rule | None:
    """The rule that decides, if any. `body` is the decoded JSON or None, `text` the raw body."""
    return next((rule for rule in rules if rule.holds(status, body, text)), None)


def _text_at(body: Any, path: tuple[str | int, ...]) -> str | None:
    """What stands at the end of a path, as text: a string as it is, a number or truth value as JSON writes it.

    A body that is an array is looked into: Google wraps its errors in one. A path that begins with a number means the
    array itself.
    """
    if isinstance(body, list) and body and not isinstance(path[0], int):
        body = body[0]
    for step in path:
        if isinstance(body, Mapping):
            body = body.get(str(step))
        elif isinstance(body, list) and isinstance(step, int) and step < len(body):
            body = body[step]
        else:
            return None
    if isinstance(body, bool):
        return "true" if body else "false"
    return str(body) if isinstance(body, str | int | float) else None
