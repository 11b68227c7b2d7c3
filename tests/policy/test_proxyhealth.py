"""The life of a proxy, a table of what follows what."""

from __future__ import annotations

import pytest

from gateway.config.model import ProxiesConfig
from gateway.policy.proxyhealth import (
    BEYOND_PROXY,
    EGRESS_BLOCKED,
    PROXY_FAILED,
    UNTESTED,
    VALID,
    ProxyStanding,
    bench,
    blame_proxy,
    concerns_all,
    count_failure,
    due_at,
    egress_blocked,
    is_about_address,
    is_doubted,
    is_doubtful,
    wake,
)
from gateway.policy.verdict import Scope, Status, Verdict

CONFIG = ProxiesConfig(rest=60.0, max_rest=1800.0)
DOWN = Verdict(Scope.PROXY, Status.NETWORK_ERROR, PROXY_FAILED, evidence="refuses connections")
BEYOND = Verdict(Scope.PROXY, Status.NETWORK_ERROR, BEYOND_PROXY)
CHALLENGED = Verdict(Scope.PROXY, Status.UNKNOWN, "challenge_page")


@pytest.mark.parametrize(
    ("verdict", "status"),
    [(DOWN, Status.NETWORK_ERROR), (BEYOND, Status.NETWORK_ERROR), (CHALLENGED, Status.NO_ACCESS)],
)
def test_a_failure_benches(verdict: Verdict, status: Status) -> None:
    standing = bench(VALID, verdict, 1000.0, CONFIG)
    assert (standing.status, standing.until, standing.streak) == (status, 1060.0, 1)
    assert (standing.reason, standing.evidence) == (verdict.reason, verdict.evidence)
    assert not standing.usable
    assert standing.failing_since == 1000.0


def test_each_further_failure_doubles_the_rest_up_to_the_limit() -> None:
    standing: ProxyStanding = UNTESTED
    rests = []
    now = 1000.0
    for _ in range(40):
        standing = (
            wake(bench(standing, DOWN, now, CONFIG)) if standing.streak % 2 else bench(standing, DOWN, now, CONFIG)
        )
        if standing.until is not None:
            rests.append(standing.until - now)
    assert rests[:4] == [60.0, 240.0, 960.0, 1800.0]
    assert max(rests) == 1800.0
    assert standing.failing_since == 1000.0


def test_a_rest_that_is_over_leaves_an_untested_proxy_that_remembers_its_failures() -> None:
    standing = wake(bench(VALID, DOWN, 1000.0, CONFIG))
    assert standing.usable
    assert (standing.status, standing.streak, standing.reason) == (Status.UNTESTED, 1, PROXY_FAILED)


def test_a_counted_failure_leaves_the_status() -> None:
    standing = count_failure(VALID, BEYOND, 1000.0)
    assert standing.usable
    assert (standing.status, standing.streak, standing.failing_since) == (Status.VALID, 1, 1000.0)


@pytest.mark.parametrize(
    ("verdict", "all_of_them", "doubtful"), [(DOWN, True, False), (BEYOND, False, True), (CHALLENGED, False, False)]
)
def test_whom_a_failure_concerns(verdict: Verdict, all_of_them: bool, doubtful: bool) -> None:
    assert concerns_all(verdict) is all_of_them
    assert is_doubtful(verdict) is doubtful


@pytest.mark.parametrize(
    ("reason", "scope", "blamed"),
    [
        ("unsupported_region", Scope.PROVIDER, Scope.PROXY),
        ("challenge_page", Scope.PROVIDER, Scope.PROXY),
        ("address_not_allowed", Scope.PROVIDER, Scope.PROXY),  # a firewall before all of its keys
        ("address_not_allowed", Scope.KEY, Scope.KEY),  # the key's own list of addresses
        ("server_error", Scope.PROVIDER, Scope.PROVIDER),
    ],
)
def test_what_is_about_the_address_is_the_proxys(reason: str, scope: Scope, blamed: Scope) -> None:
    assert blame_proxy(Verdict(scope, Status.NO_ACCESS, reason), VALID).scope is blamed


REJECTED = Verdict(Scope.KEY, Status.SUSPECT, "credential_rejected", evidence="401")
ACCUSED = bench(VALID, egress_blocked(REJECTED), 1000.0, CONFIG)


@pytest.mark.parametrize(
    ("standing", "verdict", "scope"),
    [
        (ACCUSED, REJECTED, Scope.PROXY),
        (wake(ACCUSED), REJECTED, Scope.PROXY),
        (wake(ACCUSED), Verdict(Scope.KEY_MODEL, Status.NO_ACCESS, "forbidden"), Scope.PROXY),
        (wake(ACCUSED), Verdict(Scope.KEY, Status.RATE_LIMITED, "rate_limited"), Scope.KEY),
        (wake(ACCUSED), Verdict(Scope.PROVIDER, Status.SERVER_ERROR, "server_error"), Scope.PROVIDER),
        (VALID, REJECTED, Scope.KEY),
        (wake(bench(VALID, CHALLENGED, 1000.0, CONFIG)), REJECTED, Scope.KEY),
        (wake(bench(VALID, DOWN, 1000.0, CONFIG)), REJECTED, Scope.KEY),
    ],
)
def test_under_suspicion_a_rejected_key_is_the_proxys_fault(
    standing: ProxyStanding, verdict: Verdict, scope: Scope
) -> None:
    blamed = blame_proxy(verdict, standing)
    assert blamed.scope is scope
    assert scope is not Scope.PROXY or (blamed.status, blamed.reason) == (Status.NO_ACCESS, EGRESS_BLOCKED)


DOUBTED = count_failure(UNTESTED, BEYOND, 1000.0)
RESTING = bench(VALID, DOWN, 1000.0, CONFIG)
BLOCKED = bench(VALID, CHALLENGED, 1000.0, CONFIG)


@pytest.mark.parametrize(
    ("standings", "checked_at", "jitter", "due"),
    [
        ((UNTESTED,), 0.0, 0.2, 0.0),
        ((UNTESTED,), 1000.0, 0.0, 1060.0),
        ((VALID,), 1000.0, 0.0, 4600.0),
        ((VALID,), 1000.0, 0.2, 5320.0),
        ((VALID,), 1000.0, -0.2, 3880.0),
        ((RESTING,), 1000.0, 0.2, 1045.0),
        ((RESTING,), 1000.0, -0.2, 1057.0),
        ((VALID, DOUBTED), 1000.0, 0.0, 1060.0),
        ((VALID, BLOCKED), 1000.0, 0.1, 4960.0),
        ((VALID, wake(BLOCKED)), 1000.0, 0.1, 4960.0),
        ((BLOCKED,), 1000.0, 0.0, 4600.0),
    ],
)
def test_when_a_proxy_is_probed(
    standings: tuple[ProxyStanding, ...], checked_at: float, jitter: float, due: float
) -> None:
    assert due_at(standings, checked_at, jitter, CONFIG) == pytest.approx(due)


@pytest.mark.parametrize(
    ("standing", "doubted", "about_address"),
    [
        (UNTESTED, False, False),
        (RESTING, False, False),
        (DOUBTED, True, False),
        (BLOCKED, False, True),
        (wake(BLOCKED), False, True),
    ],
)
def test_what_a_standing_leaves_open(standing: ProxyStanding, doubted: bool, about_address: bool) -> None:
    assert is_doubted(standing) is doubted
    assert is_about_address(standing) is about_address
