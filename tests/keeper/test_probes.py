"""Probes against a provider on loopback: what they ask, what they believe, and when."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from random import Random
from typing import Any

import pytest

from gateway.config.provider import HealthConfig, ProbeConfig, ProviderConfig
from gateway.keeper.probes import SKIPPED, Checked, Prober
from gateway.net.client import Client
from gateway.observe.logs import Log
from gateway.policy.breaker import State
from gateway.policy.verdict import Scope, Status, Verdict
from gateway.secret import Secret
from gateway.upstream.exchange import Exchange
from gateway.upstream.key import Key, Rest
from gateway.upstream.keypool import KeyPool
from gateway.upstream.outage import OutageCause
from gateway.upstream.provider import Provider
from tests.conftest import run
from tests.fakes.behaviours import (
    Answer,
    Behaviour,
    CloseBeforeAnswer,
    Hang,
    error,
    quota,
    rate_limited,
    server_error,
    unauthorized,
)
from tests.fakes.provider import FakeProvider
from tests.upstream.pools import REJECTED, SERVER_ERROR, Clock, is_shut, lease_of, status_of

S = Status
FORBIDDEN = error(403, None, "Missing scopes: api.model.read", "permission_error")
NOT_FOUND = error(404, None, "Unknown path", "invalid_request_error")
DAY = 86400.0


class Bench:
    """A prober, its pool and its provider. Its sleeps are noted and take no time."""

    def __init__(self, fake: FakeProvider, client: Client, kind: str, settings: dict[str, Any]) -> None:
        self.fake = fake
        self.clock = Clock()
        self.slept: list[float] = []
        self.noted: list[str] = []
        probe, base_path = settings.pop("probe", ProbeConfig()), settings.pop("base_path", "/v1")
        config = replace(
            ProviderConfig(name="main", type="openai", base_url=fake.origin + base_path, models=("gpt-4o",)),
            probe=probe,
            **settings,
        )
        self.pool = KeyPool("main", config.health, clock=self.clock, rng=Random(1))
        self.pool.configure(config, kind, 10)
        self.prober = Prober(
            Provider(config, self.pool),
            Exchange(client, self.clock),
            Log(write=io.BytesIO().write, human=False, clock=self.clock),
            self.clock,
            lambda provider, outcome: self.noted.append(outcome),
            sleep=self.sleep,
        )

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.clock.advance(seconds)
        self.pool.standings.wake_due()
        await asyncio.sleep(0)

    def add(self, name: str, *script: Behaviour) -> Key:
        secret = Secret(f"sk-{name}-0123456789abcdef")
        if script:
            self.fake.script(secret.reveal(), *script)
        key = Key(secret, secret.digest)
        self.pool.standings.add([key])
        return key

    async def probe(self) -> dict[str, int]:
        """Whatever wants a probe now."""
        return dict(await self.prober.probe_batch(self.prober._take(1000)))


@asynccontextmanager
async def bench(kind: str = "models", **settings: Any) -> AsyncIterator[Bench]:
    client = Client()
    async with FakeProvider() as fake:
        try:
            made = Bench(fake, client, kind, settings)
            yield made
            assert all(key.in_flight == 0 for key in made.pool.standings.keys.values())
        finally:
            await client.close()


@pytest.mark.parametrize(
    ("kind", "behaviour", "outcome", "becomes"),
    [
        ("models", Answer(), "success", S.VALID),
        ("models", unauthorized(), "suspect", S.SUSPECT),
        ("models", quota(), "no_quota", S.NO_QUOTA),
        ("models", FORBIDDEN, "no_access", S.UNTESTED),
        ("models", NOT_FOUND, "bad_request", S.UNTESTED),
        ("models", rate_limited(20), "rate_limited", S.UNTESTED),
        ("models", server_error(), "server_error", S.UNTESTED),
        ("models", CloseBeforeAnswer(), "network_error", S.UNTESTED),
        ("request", Answer(), "success", S.VALID),
        ("request", unauthorized(), "suspect", S.SUSPECT),
        ("request", quota(), "no_quota", S.NO_QUOTA),
        ("request", rate_limited(20), "rate_limited", S.RATE_LIMITED),
        ("request", CloseBeforeAnswer(), "network_error", S.UNTESTED),
    ],
)
def test_what_a_probe_believes(kind: str, behaviour: Behaviour, outcome: str, becomes: Status) -> None:
    async def scenario() -> None:
        async with bench(kind) as b:
            b.add("good")
            key = b.add("one", behaviour)
            await b.prober.probe_all([Rest(key, None)])
            assert b.noted == [outcome]
            assert key.standing.status is becomes

    run(scenario())


@pytest.mark.parametrize("refusal", [FORBIDDEN, NOT_FOUND])
def test_about_a_key_that_may_not_list_models_requests_decide(refusal: Behaviour) -> None:
    async def scenario() -> None:
        async with bench() as b:
            key = b.add("restricted", refusal)
            good = b.add("good")
            b.pool.succeed(lease_of(b.pool, good))
            await b.probe()
            leases = [b.pool.lease("m") for _ in range(2)]
            assert {lease.key for lease in leases if lease} == {key, good}, "it serves like any other"
            for lease in leases:
                assert lease is not None
                b.pool.succeed(lease)
            b.pool.report(lease_of(b.pool, key), REJECTED)
            b.clock.advance(65)
            b.pool.standings.wake_due()
            assert not b.pool.standings.probing.wanted, "that would tell nothing"
            trial = b.pool.lease("m")
            assert trial is not None and trial.key is key
            b.pool.succeed(trial)
            assert key.standing.status is S.VALID

    run(scenario())


def test_a_list_of_models_is_asked_for_with_the_keys_own_credential() -> None:
    async def scenario() -> None:
        async with bench(headers={"x-team": "a"}) as b:
            key = b.add("one")
            await b.probe()
            (seen,) = b.fake.requests
            assert (seen.method, seen.path, seen.key) == ("GET", "/v1/models", key.secret.reveal())
            assert seen.headers["x-team"] == "a"

    run(scenario())


def test_a_request_is_as_small_as_it_can_be_or_as_configured() -> None:
    async def scenario() -> None:
        probe = ProbeConfig(model="tiny", payload='{"max_tokens": 3, "store": false}')
        for config, model, tokens in ((ProbeConfig(), "gpt-4o", 1), (probe, "tiny", 3)):
            async with bench("request", probe=config) as b:
                b.add("one")
                await b.probe()
                (seen,) = b.fake.requests
                assert seen.path == "/v1/chat/completions"
                assert (seen.json["model"], seen.json["max_tokens"]) == (model, tokens)
                assert seen.json.get("store", True) is (tokens == 1)

    run(scenario())


BEARER, HI = "Bearer {key}", [{"role": "user", "content": "hi"}]
ASKED: list[tuple[dict[str, Any], str, str, dict[str, str], str, dict[str, Any]]] = [
    (
        {"type": "anthropic", "base_path": ""},
        "/v1/models?limit=1000",
        "/v1/messages",
        {"x-api-key": "{key}"},
        "max_tokens",
        {"model": "gpt-4o", "messages": HI, "max_tokens": 1},
    ),
    (
        {"type": "gemini", "base_path": ""},
        "/v1beta/models?pageSize=1000",
        "/v1beta/models/gpt-4o:generateContent",
        {"x-goog-api-key": "{key}"},
        "generationConfig",
        {"contents": [{"role": "user", "parts": [{"text": "hi"}]}], "generationConfig": {"maxOutputTokens": 1}},
    ),
    (
        {"type": "azure", "base_path": ""},
        "/openai/v1/models",
        "/openai/v1/chat/completions",
        {"api-key": "{key}"},
        "max_tokens",
        {"model": "gpt-4o", "messages": HI, "max_tokens": 1},
    ),
    (
        {"type": "azure", "base_path": "", "api_version": "2024-10-21"},
        "/openai/models?api-version=2024-10-21",
        "/openai/deployments/gpt-4o/chat/completions?api-version=2024-10-21",
        {"api-key": "{key}"},
        "max_tokens",
        {"model": "gpt-4o", "messages": HI, "max_tokens": 1},
    ),
    (
        {"type": "gemini", "base_path": "", "dialects": ("openai_chat",)},
        "/v1beta/openai/models",
        "/v1beta/openai/chat/completions",
        {"authorization": BEARER},
        "max_tokens",
        {"model": "gpt-4o", "messages": HI, "max_tokens": 1},
    ),
    (
        {"type": "openai", "dialects": ("openai_responses",)},
        "/v1/models",
        "/v1/responses",
        {"authorization": BEARER},
        "store",
        {"model": "gpt-4o", "input": "hi", "max_output_tokens": 16, "store": False},
    ),
]  # fmt: skip


@pytest.mark.parametrize(("settings", "listed", "asked", "credentials", "field", "body"), ASKED)
def test_a_probe_speaks_the_dialect_of_its_provider(
    settings: dict[str, Any], listed: str, asked: str, credentials: dict[str, str], field: str, body: dict[str, Any]
) -> None:
    async def scenario() -> None:
        for kind, payload, path, sent in (
            ("models", "", listed, None),
            ("request", "", asked, body),
            ("request", f'{{"{field}": null, "x": 1}}', asked, {**body, "x": 1}),
        ):
            async with bench(kind, probe=ProbeConfig(payload=payload), **settings) as b:
                key = b.add("one", Answer(200, {}))
                await b.probe()
                (seen,) = b.fake.requests
                assert (seen.method, seen.path) == ("GET" if sent is None else "POST", path)
                assert seen.credentials == {
                    name: value.format(key=key.secret.reveal()) for name, value in credentials.items()
                }
                assert seen.headers.get("anthropic-version") == (
                    "2023-06-01" if settings["type"] == "anthropic" else None
                )
                if payload and sent is not None:
                    del sent[field]
                assert (seen.json if seen.body else None) == sent

    run(scenario())


UNAUTHORIZED = (
    ("anthropic", 401, {"type": "error", "error": {"type": "authentication_error", "message": "invalid x-api-key"}}),
    (
        "gemini",
        400,
        {
            "error": {
                "code": 400,
                "message": "API key not valid. Please pass a valid API key.",
                "status": "INVALID_ARGUMENT",
                "details": [{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID"}],
            }
        },
    ),
    ("azure", 401, {"error": {"code": "401", "message": "Access denied due to invalid subscription key"}}),
)


@pytest.mark.parametrize(("kind", "status", "body"), UNAUTHORIZED)
def test_a_key_that_is_rejected_in_its_providers_own_words_is_a_suspect(
    kind: str, status: int, body: dict[str, Any]
) -> None:
    async def scenario() -> None:
        async with bench(type=kind, base_path="") as b:
            b.add("good", Answer(200, {"data": []}))
            key = b.add("one", Answer(status, body))
            await b.prober.probe_all([Rest(key, None)])
            assert (b.noted, key.standing.status) == (["suspect"], S.SUSPECT)

    run(scenario())


@pytest.mark.parametrize("status", [S.RATE_LIMITED, S.NO_QUOTA, S.NO_ACCESS, S.NO_MODEL])
def test_a_list_of_models_lifts_no_quota_model_or_access(status: Status) -> None:
    async def scenario() -> None:
        async with bench() as b:
            key = b.add("one")
            key.standing = replace(key.standing, status=status, until=b.clock.now + 500)
            await b.prober.probe_all([Rest(key, None)], Checked(1))
            assert b.noted == ["success"] and key.standing.status is status

    run(scenario())


def test_a_suspect_is_believed_to_be_invalid_after_as_many_probes_as_configured() -> None:
    async def scenario() -> None:
        async with bench(health=HealthConfig(verification_attempts=3, verification_delay=65.0)) as b:
            b.add("good")
            key = b.add("bad", unauthorized())
            b.pool.succeed(lease_of(b.pool, b.add("better")))
            await b.prober.probe_all([rest for rest in b.prober._take(9) if rest.key is not key])
            b.pool.report(lease_of(b.pool, key), REJECTED)
            seen = []
            for _ in range(3):
                b.clock.advance(64)
                b.pool.standings.wake_due()
                assert b.prober._take(9) == [], "not before its time"
                b.clock.advance(1)
                b.pool.standings.wake_due()
                assert b.pool.lease("m", excluded={k for k in b.pool.standings.keys.values() if k is not key}) is None
                await b.probe()
                seen.append(key.standing.status)
            assert seen == [S.SUSPECT, S.SUSPECT, S.INVALID_KEY]
            assert b.fake.calls_by_key[key.secret.reveal()] == 3

    run(scenario())


def test_a_suspect_that_recovers_is_back_with_the_first_probe() -> None:
    async def scenario() -> None:
        async with bench() as b:
            key = b.add("one")
            b.pool.report(lease_of(b.pool, key), REJECTED)
            b.clock.advance(65)
            b.pool.standings.wake_due()
            assert await b.probe() == {"success": 1}
            assert key.standing.status is S.VALID and b.pool.usable == 1

    run(scenario())


def test_untested_keys_serve_only_while_nobody_has_proven_good() -> None:
    async def scenario() -> None:
        async with bench() as b:
            keys = [b.add(name) for name in ("a", "b", "c")]
            lease = b.pool.lease("m")
            assert lease is not None, "better an untested key than none"
            b.pool.release(lease)
            await b.prober.probe_all([Rest(keys[0], None)], Checked(1))
            for _ in range(5):
                lease = b.pool.lease("m")
                assert lease is not None and lease.key is keys[0]
                b.pool.release(lease)

    run(scenario())


def test_valid_keys_are_probed_once_a_day_and_a_live_success_counts() -> None:
    async def scenario() -> None:
        async with bench() as b:
            keys = [b.add(f"k{n}") for n in range(40)]
            await b.probe()
            b.fake.requests.clear()
            times: dict[Key, list[float]] = {key: [] for key in keys}
            for _ in range(24 * 4):
                b.clock.advance(3600)
                used = keys[0]
                b.pool.succeed(lease_of(b.pool, used))
                await b.prober.look_at_all()
                before = {key: b.fake.calls_by_key[key.secret.reveal()] for key in keys}
                await b.probe()
                for key in keys:
                    if b.fake.calls_by_key[key.secret.reveal()] > before[key]:
                        times[key].append(b.clock.now)
            assert times[keys[0]] == [], "it was used all the time"
            for key in keys[1:]:
                gaps = [later - at for at, later in zip(times[key], times[key][1:], strict=False)]
                assert gaps and all(0.8 * DAY <= gap <= 1.2 * DAY + 3600 for gap in gaps)
            assert len({times[key][0] for key in keys[1:]}) > 5, "they do not come together"

    run(scenario())


def test_what_a_probe_could_not_decide_is_probed_again_at_the_next_look() -> None:
    async def scenario() -> None:
        async with bench() as b:
            key = b.add("one", server_error(), Answer())
            await b.probe()
            assert status_of(key) is S.UNTESTED and not b.pool.standings.probing.wanted
            await b.prober.look_at_all()
            await b.probe()
            assert key.standing.status is S.VALID

    run(scenario())


@pytest.mark.parametrize(
    ("behaviour", "told"), [(CloseBeforeAnswer(), True), (server_error(), False), (NOT_FOUND, False)]
)
def test_a_provider_that_no_probe_gets_to_is_out_before_the_first_request(behaviour: Behaviour, told: bool) -> None:
    async def scenario() -> None:
        async with bench() as b:
            keys = [b.add(name, behaviour) for name in ("one", "two", "three")]
            await b.probe()
            outage = b.pool.outage()
            assert (outage is not None and outage.cause is OutageCause.PROVIDER_DOWN) is told
            for key in keys:
                assert key.standing.status is S.UNTESTED and not key.in_flight
                b.fake.script(key.secret.reveal(), Answer())
            await b.prober.look_at_all()
            await b.probe()
            assert b.pool.outage() is None

    run(scenario())


def test_batches_grow_and_a_rate_limit_slows_them_down() -> None:
    async def scenario() -> None:
        async with bench() as b:
            keys = [b.add(f"k{n:03}") for n in range(70)]
            for key in list(b.pool.standings.probing.wanted)[30:40]:
                b.fake.script(key.key.secret.reveal(), rate_limited())
            task = asyncio.create_task(b.prober.run())
            while sum(seconds >= 1 for seconds in b.slept) < 3:
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            pauses = [seconds for seconds in b.slept if seconds >= 1]
            assert pauses[:3] == [30.0, 30.0, 60.0]
            assert sum(key.standing.status is S.VALID for key in keys) >= 50

    run(scenario())


def test_probes_begin_apart_and_only_so_many_run_at_once() -> None:
    async def scenario() -> None:
        async with bench(probe=ProbeConfig(concurrency=3, min_interval=0.2)) as b:
            for n in range(9):
                b.add(f"k{n}")
            await b.probe()
            assert [round(seconds, 3) for seconds in b.slept] == [0.2] * 8
            assert b.fake.connections <= 3

    run(scenario())


def test_a_check_by_the_operator_and_a_batch_keep_one_distance() -> None:
    async def scenario() -> None:
        async with bench(probe=ProbeConfig(concurrency=4, min_interval=10.0)) as b:
            batches = [[Rest(b.add(f"{name}{n}"), None) for n in range(3)] for name in "ab"]
            await asyncio.gather(*(b.prober.probe_all(batch, Checked(3)) for batch in batches))
            assert b.slept == [10.0] * 5

    run(scenario())


def test_the_calls_for_several_models_of_a_key_keep_their_distance() -> None:
    async def scenario() -> None:
        async with bench("request", shared_key_status=False, probe=ProbeConfig(min_interval=10.0)) as b:
            key = b.add("one")
            for model in ("a", "b", "c"):
                b.pool.succeed(lease_of(b.pool, key, model))
            await b.prober.probe_all([Rest(key, None)], Checked(1))
            assert (len(b.fake.requests), b.slept) == (3, [10.0, 10.0])

    run(scenario())


@pytest.mark.parametrize("steps", [0, 1, 2, 5])
def test_probes_that_are_broken_off_leave_room_for_others(steps: int) -> None:
    """By a reload, or by a bug in one of them."""

    async def scenario() -> None:
        async with bench(probe=ProbeConfig(concurrency=2)) as b:
            rests = [Rest(b.add(f"k{n}"), None) for n in range(4)]
            for _ in range(4):
                probing = asyncio.create_task(b.prober.probe_all(rests, Checked(4)))
                for _ in range(steps):
                    await asyncio.sleep(0)
                probing.cancel()
                await asyncio.gather(probing, return_exceptions=True)
            b.prober._note = crash
            for _ in range(4):
                with pytest.raises(BaseExceptionGroup):
                    await b.prober.probe_all(rests, Checked(4))
            b.prober._note = lambda provider, outcome: None
            assert await b.prober.probe_all(rests, Checked(4)) == {"success": 4}

    run(scenario())


def crash(provider: Provider, outcome: str) -> None:
    raise RuntimeError(outcome)


def test_a_key_that_is_being_used_or_gone_is_not_probed() -> None:
    async def scenario() -> None:
        async with bench() as b:
            busy, gone, off = b.add("busy"), b.add("gone"), b.add("off")
            lease = b.pool.lease_key(busy, "m")
            b.pool.standings.remove([gone.digest])
            b.pool.standings.disable(off)
            assert await b.probe() == {}
            assert lease is not None
            b.pool.release(lease)
            assert await b.prober.probe_all([Rest(off, None)], Checked(1)) == {SKIPPED: 1}
            assert b.fake.requests == []

    run(scenario())


def test_each_model_in_use_is_asked_for_where_each_has_its_own_status() -> None:
    async def scenario() -> None:
        async with bench("request", shared_key_status=False) as b:
            key = b.add("one")
            for model in ("big", "small"):
                b.pool.succeed(lease_of(b.pool, key, model))
            await b.prober.probe_all([Rest(key, None)], Checked(1))
            assert [seen.json["model"] for seen in b.fake.requests] == ["big", "small"]

    run(scenario())


def test_a_check_by_the_operator_asks_everybody_and_counts() -> None:
    async def scenario() -> None:
        async with bench() as b:
            keys = [b.add("a"), b.add("b", unauthorized()), b.add("c")]
            checked = Checked(len(keys))
            await b.prober.check(keys, checked)
            assert (checked.done, checked.ended, dict(checked.outcomes)) == (3, True, {"success": 2, "suspect": 1})
            assert checked.benched == {"suspect": 1}

    run(scenario())


def test_a_check_tells_of_keys_that_stay_benched_whatever_the_list_of_models_says() -> None:
    async def scenario() -> None:
        async with bench() as b:
            keys = [b.add(name) for name in "abc"]
            b.pool.report(lease_of(b.pool, keys[0]), Verdict(Scope.KEY, Status.NO_QUOTA, "insufficient_quota"))
            b.pool.standings.disable(keys[1])
            checked = Checked(len(keys))
            await b.prober.check(keys, checked)
            assert checked.outcomes == {"success": 2, "skipped": 1}
            assert checked.benched == {"no_quota": 1, "disabled": 1}

    run(scenario())


def test_a_probe_is_the_canary_of_a_closed_pool() -> None:
    async def scenario() -> None:
        async with bench() as b:
            keys = [b.add(name) for name in "abcde"]
            for key in keys:
                b.pool.succeed(lease_of(b.pool, key))
            b.fake.calls_by_key.clear()
            for key in keys[:3]:
                b.pool.report(lease_of(b.pool, key), REJECTED)
            assert is_shut(b.pool)
            b.pool.standings.clear(keys[3])
            running = asyncio.create_task(b.prober.run(), name="probes")
            while b.pool.guard.tripped:
                await asyncio.sleep(0)
            running.cancel()
            assert [*b.fake.calls_by_key] == [keys[4].secret.reveal()], "that of a proven one"

    run(scenario())


def shut(b: Bench) -> None:
    """Open the provider's circuit."""
    for _ in range(5):
        b.pool.breakers.end(b.pool.breakers.enter(), SERVER_ERROR, None)
    assert b.pool.breakers.state() is State.OPEN


@pytest.mark.parametrize(("kind", "after"), [("request", State.CLOSED), ("models", State.HALF_OPEN)])
def test_nothing_is_probed_while_the_circuit_is_open_and_requests_are_trials_then(kind: str, after: State) -> None:
    async def scenario() -> None:
        async with bench(kind) as b:
            for name in "abcde":
                b.add(name)
            shut(b)
            opened = b.clock.now
            running = asyncio.create_task(b.prober.run(), name="probes")
            while len(b.fake.requests) < 5:
                if b.clock.now < opened + 48:
                    assert not b.fake.requests
                await asyncio.sleep(0)
            while b.pool.breakers.state() is not after:
                await asyncio.sleep(0)
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)

    run(scenario())


def test_probes_that_fail_open_a_circuit_and_stop() -> None:
    async def scenario() -> None:
        async with bench("request") as b:
            for n in range(20):
                b.add(f"number-{n}", server_error())
            outcomes = await b.probe()
            assert b.pool.breakers.state() is State.OPEN
            assert outcomes["server_error"] == len(b.fake.requests) <= 5 + b.prober.provider.config.probe.concurrency
            assert outcomes[SKIPPED] == 20 - len(b.fake.requests)
            assert len(b.pool.standings.probing.wanted) == outcomes[SKIPPED], "when it is over"

    run(scenario())


def test_the_operators_check_goes_through_an_open_circuit_and_leaves_it_open() -> None:
    async def scenario() -> None:
        async with bench("request") as b:
            keys = [b.add("one"), b.add("two", unauthorized())]
            shut(b)
            checked = Checked(2)
            await b.prober.check(keys, checked)
            assert checked.outcomes == {"success": 1, "suspect": 1}
            assert b.pool.breakers.state() is State.OPEN

    run(scenario())


def test_a_probe_that_is_cancelled_gives_its_place_back() -> None:
    async def scenario() -> None:
        async with bench("request") as b:
            key = b.add("one", Hang())
            shut(b)
            b.clock.advance(60)
            probing = asyncio.create_task(b.prober.probe_all([Rest(key, None)]), name="probes")
            while not b.fake.requests:
                await asyncio.sleep(0)
            (circuit,) = b.pool.breakers.circuits()
            assert circuit.breaker.trials == 1
            probing.cancel()
            await asyncio.gather(probing, return_exceptions=True)
            assert (circuit.breaker.state, circuit.breaker.trials) == (State.HALF_OPEN, 0)

    run(scenario())
