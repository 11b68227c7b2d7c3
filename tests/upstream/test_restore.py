"""What the pool learned comes back after a restart: deadlines verbatim, proofs, streaks, single models."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.keeper.statuses import status_row
from gateway.keeper.sync import restore_standing
from gateway.policy.health import ALL_MODELS, DISABLED, UNTESTED, VALID, Standing
from gateway.policy.verdict import Provenance, Status
from gateway.upstream.key import Change, Key, Lease
from gateway.upstream.keypool import KeyPool
from tests.upstream.pools import FORBIDDEN, REJECTED, SERVER_ERROR, Clock, a_key, a_pool, lease_of, limited

NOW = Clock().now
RESTING = Standing(
    Status.NO_QUOTA,
    NOW + 0.125,
    Provenance.AUTHORITATIVE,
    reason="insufficient_quota",
    evidence="429 insufficient_quota",
    failing_since=NOW - 60,
    streak=0,
    proven=True,
)


def through_rows(changes: list[Change], key: Key) -> Key:
    """The same key in another process, with the rows that these changes made."""
    restored = Key(key.secret, key.digest)
    for change in {change.model: change for change in changes}.values():  # a row is written over by the next one
        restore_standing(restored, status_row("main", change))
    return restored


@pytest.mark.parametrize(
    "standing",
    [
        UNTESTED,
        VALID,
        DISABLED,
        RESTING,
        replace(RESTING, status=Status.SUSPECT, provenance=Provenance.HEURISTIC, proven=False),
        replace(RESTING, status=Status.SERVER_ERROR, streak=2),
        Standing(Status.VALID, reason="server_error", evidence="500", failing_since=NOW, streak=1, proven=True),
        Standing(Status.UNTESTED, reason="server_error", failing_since=NOW, streak=1),
    ],
)
def test_a_standing_comes_back_as_it_was(standing: Standing) -> None:
    key = a_key("a")
    restored = through_rows([Change(key.digest, key.fingerprint, ALL_MODELS, standing, 7.0)], key)
    assert restored.standing == standing
    assert restored.checked_at == 7.0
    assert restored.models is None


def test_a_usable_key_has_the_shared_standing_again() -> None:
    key = a_key("a")
    restored = through_rows([Change(key.digest, key.fingerprint, ALL_MODELS, replace(VALID), 0.0)], key)
    assert restored.standing is VALID, "a hundred thousand keys share it"


def test_a_model_that_is_in_order_again_leaves_nothing_behind() -> None:
    key = a_key("a")
    benched = Change(key.digest, key.fingerprint, "big", RESTING, 0.0)
    assert through_rows([benched], key).models == {"big": RESTING}
    assert through_rows([replace_standing(benched, VALID)], key).models is None


def replace_standing(change: Change, standing: Standing) -> Change:
    return change._replace(standing=standing)


def restarted(pool: KeyPool, clock: Clock) -> tuple[KeyPool, dict[bytes, Key]]:
    changes = pool.standings.take_changes()
    keys = [
        through_rows([change for change in changes if change.digest == key.digest], key)
        for key in pool.standings.keys.values()
    ]
    again, _ = a_pool(clock)
    again.standings.add(keys)
    return again, again.standings.keys


def test_a_pool_goes_on_where_it_was() -> None:
    clock = Clock()
    pool, keys = a_pool(clock, "good", "limited", "suspect", "no_model", "off", "new")
    pool.succeed(lease_of(pool, keys["good"]))
    pool.report(lease_of(pool, keys["limited"]), limited(90, clock.now))
    pool.report(lease_of(pool, keys["suspect"]), REJECTED)
    pool.report(lease_of(pool, keys["no_model"], "big"), FORBIDDEN)
    pool.standings.disable(keys["off"])
    clock.advance(30)
    again, back = restarted(pool, clock)
    assert +again.standings.counts == +pool.standings.counts
    for key in keys.values():
        assert (back[key.digest].standing, back[key.digest].models) == (key.standing, key.models)
    for model in ("big", "small"):
        assert names(again, model) == names(pool, model)
    clock.advance(35)  # the suspect's time, and the model's
    for each in (pool, again):
        each.standings.wake_due()
        assert each.usable == 4
    clock.advance(25)
    for each in (pool, again):
        each.standings.wake_due()
        assert each.usable == 5
    trial = lease_of(again, back[keys["suspect"].digest])
    again.succeed(lease_of(again, back[keys["good"].digest]))
    again.report(trial, REJECTED)
    assert back[keys["suspect"].digest].standing.status is Status.INVALID_KEY, "the first rejection is remembered"


def test_a_streak_goes_on_too() -> None:
    clock = Clock()
    pool, keys = a_pool(clock, "a", "b")
    pool.report(lease_of(pool, keys["a"]), SERVER_ERROR)
    again, back = restarted(pool, clock)
    again.succeed(lease_of(again, back[keys["b"].digest]))
    again.report(lease_of(again, back[keys["a"].digest]), SERVER_ERROR)
    assert back[keys["a"].digest].standing.status is Status.SERVER_ERROR


@pytest.mark.parametrize("written", [False, True])
def test_a_key_that_leaves_and_comes_back_has_its_history_written_or_not(written: bool) -> None:
    clock = Clock()
    pool, keys = a_pool(clock, "off", "lifted", "good")
    pool.report(lease_of(pool, keys["lifted"], "big"), FORBIDDEN)
    saved = pool.standings.take_changes()
    pool.standings.disable(keys["off"])
    pool.standings.clear(keys["lifted"])
    if written:
        saved += pool.standings.take_changes()
    pool.standings.remove([keys["off"].digest, keys["lifted"].digest])
    back = [
        through_rows([change for change in saved if change.digest == keys[name].digest], keys[name])
        for name in ("off", "lifted")
    ]
    pool.standings.add(back)
    assert back[0].standing.status is Status.DISABLED
    assert back[1].models is None
    assert names(pool, "big") == {back[1].fingerprint, keys["good"].fingerprint}
    saved += pool.standings.take_changes()
    last = {(change.digest, change.model): change.standing.status for change in saved}
    assert last[(back[0].digest, ALL_MODELS)] is Status.DISABLED
    assert last[(back[1].digest, "big")] is Status.VALID


def names(pool: KeyPool, model: str) -> set[str]:
    leases: list[Lease] = []
    while (lease := pool.lease(model, {lease.key for lease in leases})) is not None:
        leases.append(lease)
    for lease in leases:
        pool.release(lease)
    return {lease.key.fingerprint for lease in leases}
