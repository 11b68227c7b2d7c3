"""What years of traffic, careless clients and clocks do to a pool."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.config.provider import ProviderConfig
from gateway.policy.health import ALL_MODELS, Standing
from gateway.policy.verdict import Scope, Status
from gateway.upstream.key import Key
from gateway.upstream.keypool import KeyPool
from gateway.upstream.rotation import VIEWS_LIMIT
from gateway.upstream.served import NAME_LIMIT, STRANGERS_UP_TO
from tests.upstream.pools import (
    FORBIDDEN,
    NO_MODEL,
    NO_QUOTA,
    REJECTED,
    SERVER_ERROR,
    Clock,
    a_key,
    a_pool,
    lease_of,
    limited,
    status_of,
)

DAY = 86400.0


def test_a_model_that_was_withdrawn_is_the_clients_mistake_when_nobody_else_serves_it() -> None:
    pool, keys = a_pool(Clock(), "a")
    pool.succeed(lease_of(pool, keys["a"]))
    verdict = pool.report(lease_of(pool, keys["a"]), NO_MODEL)
    assert verdict.scope is Scope.CLIENT
    assert pool.lease("m") is not None


def test_of_several_keys_that_served_a_withdrawn_model_the_last_one_tells_the_client() -> None:
    pool, keys = a_pool(Clock(), "a", "b", "c")
    for key in keys.values():
        pool.succeed(lease_of(pool, key))
    scopes = [pool.report(lease_of(pool, keys[name]), NO_MODEL).scope for name in "abc"]
    assert scopes[-1] is Scope.CLIENT and scopes.count(Scope.KEY_MODEL) >= 1
    assert pool.lease("m") is not None, "every later request hears it, too"


def test_the_wait_for_one_model_does_not_hide_behind_the_rests_of_others() -> None:
    clock = Clock()
    pool, keys = a_pool(clock, *(f"k{n}" for n in range(60)), shared_status=False)
    for model, seconds in (("a", 3.0), ("b", 5.0)):
        for key in keys.values():
            pool.report(lease_of(pool, key, model), limited(seconds, clock.now))
    assert pool.shortage("a").retry_after == 3
    assert pool.shortage("b").retry_after == 5


@pytest.mark.parametrize("verdict", [REJECTED, NO_QUOTA])
def test_faults_during_trials_do_not_launder_a_bad_key(verdict: object) -> None:
    clock = Clock()
    pool, keys = a_pool(clock, "bad", "good")
    bad = keys["bad"]
    pool.report(lease_of(pool, bad), verdict)  # type: ignore[arg-type]
    before = bad.standing.status
    clock.advance(DAY)
    pool.standings.wake_due()
    for _ in range(4):
        pool.report(lease_of(pool, bad), SERVER_ERROR)
        pool.succeed(lease_of(pool, keys["good"]))
        assert bad.standing.status is before
        clock.advance(DAY)
        pool.standings.wake_due()
    assert bad.standing.due


def test_clients_cannot_fill_the_database_with_the_names_of_models() -> None:
    pool, keys = a_pool(Clock(), "a", "b")
    pool.report(lease_of(pool, keys["a"], "x" * (NAME_LIMIT + 1)), FORBIDDEN)
    assert keys["a"].models is None and pool.standings.take_changes() == []
    rows: dict[str, Status] = {}
    for n in range(VIEWS_LIMIT + 50):
        pool.report(lease_of(pool, keys["a"], f"name-{n}"), FORBIDDEN)
        for change in pool.standings.take_changes():
            rows[change.model] = change.standing.status
    kept = {model for model, status in rows.items() if status is not Status.VALID}
    assert len(kept) == VIEWS_LIMIT, "of a model that gave way the rows go"


def test_in_a_large_pool_only_models_that_are_known_have_a_view() -> None:
    pool, keys = a_pool(Clock(), "a", "b")
    pool.standings.add([Key(each.secret, each.digest) for each in (a_key(f"k{n}") for n in range(STRANGERS_UP_TO))])
    pool.configure(replace(ProviderConfig(), models=("alias=real",)), "none", 10)
    pool.succeed(lease_of(pool, keys["a"], "served"))
    for model in ("unknown", "alias", "served", "real"):
        pool.report(lease_of(pool, keys["b"], model), FORBIDDEN)
    assert set(keys["b"].models or ()) == {"served", "real"}


def rests(pool: KeyPool, clock: Clock) -> float:
    until = pool.standings.next_wake()
    assert until is not None
    return until - clock.now


def test_a_clock_that_is_set_back_prolongs_no_rest() -> None:
    clock = Clock()
    pool, keys = a_pool(clock, "a", "b")
    pool.report(lease_of(pool, keys["a"]), limited(60, clock.now))
    pool.report(lease_of(pool, keys["b"], "big"), FORBIDDEN)
    clock.advance(10)
    pool.standings.wake_due()
    clock.advance(-400 * DAY)
    pool.standings.wake_due()
    assert rests(pool, clock) == 50
    clock.advance(50)
    pool.standings.wake_due()
    assert keys["a"].standing.usable and rests(pool, clock) == 5
    assert {change.model for change in pool.standings.take_changes()} == {ALL_MODELS, "big"}


def test_a_clock_that_is_set_forward_ends_rests_early_and_nothing_else() -> None:
    clock = Clock()
    pool, keys = a_pool(clock, "a", "b")
    pool.report(lease_of(pool, keys["a"]), limited(3600, clock.now))
    clock.advance(DAY)
    pool.standings.wake_due()
    assert pool.usable == 2


def test_a_deadline_from_a_clock_that_was_ahead_is_cut_to_the_longest_rest() -> None:
    clock = Clock()
    pool, _ = a_pool(clock, "a")
    key = a_key("late")
    ahead = Standing(Status.RATE_LIMITED, clock.now + 5000 * DAY)
    key.standing, key.models = ahead, {"big": ahead}
    pool.standings.add([key])
    assert key.standing.until == clock.now + pool.standings.health.max_cooldown
    assert key.models["big"].until == key.standing.until


def test_verdicts_of_another_address_are_forgotten_when_the_address_is_put_right() -> None:
    pool, keys = a_pool(Clock(), "a", "b", "c")
    wrong = replace(ProviderConfig(), type="openai", base_url="https://wrong.example/v1")
    pool.configure(wrong, "none", 10)
    pool.report(lease_of(pool, keys["a"]), REJECTED)
    pool.standings.disable(keys["b"])
    pool.configure(replace(wrong, priority=3), "none", 10)
    assert status_of(keys["a"]) is Status.SUSPECT
    pool.configure(replace(wrong, base_url="https://right.example/v1"), "none", 10)
    assert keys["a"].standing.status is Status.UNTESTED
    assert keys["b"].standing.status is Status.DISABLED


def accounts(clock: Clock) -> tuple[KeyPool, dict[str, Key]]:
    pool, keys = a_pool(clock, "a", "b", "other")
    for name in "ab":
        pool.standings.relabel(keys[name], {"account": "team"})
    return pool, keys


def test_one_exhausted_key_cools_its_account_and_its_return_wakes_it() -> None:
    clock = Clock()
    pool, keys = accounts(clock)
    pool.succeed(lease_of(pool, keys["b"]))
    pool.report(lease_of(pool, keys["a"]), NO_QUOTA)
    assert status_of(keys["b"]) is Status.NO_QUOTA
    assert keys["b"].standing.until == keys["a"].standing.until
    assert keys["other"].standing.usable
    clock.advance(6 * 3600)
    pool.standings.wake_due()
    pool.succeed(lease_of(pool, keys["a"]))
    assert keys["b"].standing.status is Status.VALID, "as it was before"


def test_a_limit_of_one_key_is_none_of_its_account() -> None:
    pool, keys = accounts(Clock())
    pool.report(lease_of(pool, keys["a"]), limited(30, 1_800_000_000.0))
    assert keys["b"].standing.usable


def test_a_key_that_changed_its_account_is_left_alone_by_the_old_one() -> None:
    pool, keys = accounts(Clock())
    pool.standings.relabel(keys["b"], {})
    pool.report(lease_of(pool, keys["a"]), NO_QUOTA)
    assert keys["b"].standing.usable


def test_amnesty_wakes_whoever_is_benched_and_nobody_else() -> None:
    clock = Clock()
    pool, keys = a_pool(clock, "bad", "off", "good", "model")
    pool.report(lease_of(pool, keys["bad"]), REJECTED)
    pool.report(lease_of(pool, keys["model"], "big"), FORBIDDEN)
    pool.standings.disable(keys["off"])
    assert [pool.standings.amnesty(key) for key in keys.values()] == [True, False, False, True]
    pool.standings.wake_due()
    assert keys["bad"].standing.due and pool.usable == 3
    assert keys["model"].models is not None and keys["model"].models["big"].due
    assert keys["off"].standing.status is Status.DISABLED


def test_who_rests_by_a_clock_that_was_set_back_already_rests_no_less() -> None:
    clock = Clock()
    pool, keys = a_pool(clock, "a", "b")
    pool.report(lease_of(pool, keys["a"]), limited(1, clock.now))
    clock.advance(2)
    pool.standings.wake_due()
    clock.advance(-2 * 86400)
    pool.report(lease_of(pool, keys["b"]), limited(3600, clock.now))
    clock.advance(3599)
    pool.standings.wake_due()
    assert not keys["b"].standing.usable
    clock.advance(1)
    pool.standings.wake_due()
    assert keys["b"].standing.usable


def test_a_key_that_was_checked_in_the_future_is_probed() -> None:
    clock = Clock()
    pool, keys = a_pool(clock, "a")
    pool.configure(ProviderConfig(), "models", 10)
    pool.succeed(lease_of(pool, keys["a"]))
    pool.standings.probing.wanted.clear()
    clock.advance(-365 * 86400)
    pool.standings.probing.ask(keys["a"], clock.now - 86400)
    assert pool.standings.probing.wants(*pool.standings.probing.wanted)
