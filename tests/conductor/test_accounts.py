"""API tokens of the database: what is remembered and how long, who is refused, what it means when it is away."""

from __future__ import annotations

import asyncio
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.conductor import auth
from gateway.conductor.apitokens import NewToken, make_token, public_id_of
from gateway.conductor.identity import Identity, Known, Refusal, judge_user
from gateway.config.accounts import RateLimits
from gateway.config.model import Config, TokenConfig
from gateway.errors import StoreUnavailable
from gateway.secret import Secret
from gateway.store.accounts import UserRow
from tests.conductor.accounts import NOW, accounts
from tests.conftest import run

UNKNOWN = make_token(Random(99).randbytes).secret.reveal()
MALFORMED = ("sk-anything", "llmg-", f"{UNKNOWN}x", UNKNOWN[:-1], UNKNOWN.upper(), UNKNOWN.replace("llmg", "llm"), "é")
STATIC = "token-of-ann"
CONFIG = Config(tokens={"ann": TokenConfig(Secret(STATIC), user="ann", providers=("main", "other"))})
LIMITS = RateLimits(requests_per_minute=6)


def test_a_known_token_costs_one_read_and_then_none(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with accounts(tmp_path) as place:
            token = await place.create("ann", ("use", "read"), limits=LIMITS, models=("gpt-4o",))
            assert place.remembered(token) is None
            who = await place.who(token)
            assert (who.user, who.token, who.token_limits) == ("ann", token.split("-")[1], LIMITS)
            assert who.models == {"gpt-4o"} and who.scopes == {"use", "read"}
            for _ in range(3):
                assert place.remembered(token) == who
            assert place.reads == 1

    run(scenario())


@pytest.mark.parametrize("token", [UNKNOWN, *MALFORMED])
def test_a_wrong_token_costs_one_read_and_then_none_whatever_it_looks_like(tmp_path: Path, token: str) -> None:
    async def scenario() -> None:
        async with accounts(tmp_path) as place:
            for _ in range(3):
                assert await place.refusal(token) == (401, "invalid_api_key")
            assert place.reads == 1

    run(scenario())


def test_the_right_id_with_a_wrong_secret_is_unknown(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with accounts(tmp_path) as place:
            token = await place.create()
            forged = token[:-1] + ("A" if token[-1] != "A" else "B")
            assert await place.refusal(forged) == (401, "invalid_api_key")
            assert (await place.who(token)).user == "ann"

    run(scenario())


def test_a_revocation_counts_at_once(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with accounts(tmp_path) as place:
            token, other = await place.create("ann"), await place.create("bob")
            assert (await place.who(token)).user == "ann"
            assert await place.store.revoke_token(public_id_of(token.encode()), place.now)
            assert await place.refusal(token) == (401, "invalid_api_key")
            assert (await place.who(other)).user == "bob"

    run(scenario())


def test_a_token_that_was_unknown_is_known_once_it_is_made(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with accounts(tmp_path) as place:
            token = await place.create()
            await place.database.execute("UPDATE api_tokens SET revoked_at = 1.0")
            assert await place.refusal(token) == (401, "invalid_api_key")
            await place.database.execute("UPDATE api_tokens SET revoked_at = NULL")
            await place.database.execute("UPDATE accounts_version SET version = version + 1")
            await place.store.poll()
            assert (await place.who(token)).user == "ann"

    run(scenario())


def test_what_was_read_before_a_change_is_not_remembered(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with accounts(tmp_path) as place:
            token = await place.create()
            looking = asyncio.create_task(place.who(token), name="look-up")
            while not place.reads:
                await asyncio.sleep(0)
            place.store.changes += 1  # a revocation overtakes the answer
            await looking
            assert place.remembered(token) is None

    run(scenario())


def test_those_who_ask_for_one_token_at_once_share_a_read(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with accounts(tmp_path) as place:
            token = await place.create()
            leaving, *asking = [asyncio.create_task(place.who(token), name="client") for _ in range(50)]
            await asyncio.sleep(0)
            leaving.cancel()
            assert {who.user for who in await asyncio.gather(*asking)} == {"ann"}
            assert place.reads == 1

    run(scenario())


def test_an_expiry_counts_at_each_use(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with accounts(tmp_path) as place:
            token = await place.create(expires_at=NOW + 60)
            place.now = NOW + 59
            assert (await place.who(token)).user == "ann"
            place.now = NOW + 60
            assert await place.refusal(token) == (401, "invalid_api_key")

    run(scenario())


def test_a_users_own_limits_and_rights_come_with_his_tokens(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with accounts(tmp_path, CONFIG) as place:
            await place.store.create_user(UserRow("ann", 1.0, limits=LIMITS, providers=("main", "third")))
            token = await place.create("ann", providers=("other", "main"))
            for credential in (token, STATIC):
                who = await place.who(credential)
                assert who.limits == LIMITS and who.providers == {"main"}
            await place.store.change_user("ann", providers=("third",))
            assert await place.refusal(token) == (403, "permission_denied")
            assert await place.refusal(STATIC) == (403, "permission_denied")

    run(scenario())


def test_a_disabled_user_is_refused_with_all_his_tokens(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with accounts(tmp_path, CONFIG, required=False) as place:
            token = await place.create("ann")
            await place.store.create_user(UserRow("ann", 1.0))
            assert (await place.who(token)).user == (await place.who(STATIC)).user == "ann"
            await place.store.change_user("ann", disabled=True)
            for credential in (token, STATIC):
                assert await place.refusal(credential) == (403, "permission_denied")

    run(scenario())


def test_with_auth_off_a_wrong_token_is_nobodys_and_only_what_may_be_ours_is_looked_up(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with accounts(tmp_path, required=False) as place:
            token = await place.create("ann", expires_at=NOW + 60)
            for wrong in (UNKNOWN, UNKNOWN, *MALFORMED, ""):
                assert (await place.who(wrong)).user == "10.0.0.9"
            assert place.reads == 1
            assert (await place.who(token)).user == "ann"
            place.now = NOW + 60
            assert (await place.who(token)).user == "10.0.0.9"

    run(scenario())


def test_while_the_database_is_away_the_known_are_served_and_the_others_told_to_wait(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with accounts(tmp_path, CONFIG) as place:
            known, unseen = await place.create("ann"), await place.create("bob")
            await place.who(known)
            await place.database.close()
            with pytest.raises(StoreUnavailable):
                await place.store.change_user("bob", disabled=True)
            assert (await place.who(known)).user == "ann"
            assert await place.refusal(unseen) == (503, "store_unavailable")
            assert await place.refusal(UNKNOWN) == (503, "store_unavailable")
            for wrong in MALFORMED:
                assert await place.refusal(wrong) == (401, "invalid_api_key")
            assert (await place.who(STATIC)).user == "ann"
            assert place.remembered(STATIC) is not None
            place.now += auth.RECHECK_SECONDS
            assert place.remembered(STATIC) is None

    run(scenario())


@pytest.mark.parametrize("change", [{"disabled": True}, {"providers": ("third",)}], ids=["disabled", "for nothing"])
def test_while_the_database_is_away_the_user_of_a_configured_token_is_as_he_was_last_seen(
    tmp_path: Path, change: dict[str, Any]
) -> None:
    async def scenario() -> None:
        async with accounts(tmp_path, CONFIG) as place:
            await place.store.create_user(UserRow("ann", 1.0, limits=LIMITS, models=("cheap",)))
            assert (await place.who(STATIC)).models == {"cheap"}
            read, place.counted.fetchrow = place.counted.fetchrow, unavailable  # type: ignore[method-assign]
            place.store.changes += 1  # of somebody else
            who = await place.who(STATIC)
            assert who.models == {"cheap"} and who.limits == LIMITS
            place.counted.fetchrow = read  # type: ignore[method-assign]
            await place.store.change_user("ann", **change)
            assert await place.refusal(STATIC) == (403, "permission_denied")
            place.counted.fetchrow = unavailable  # type: ignore[method-assign]
            place.store.changes += 1
            assert await place.refusal(STATIC) == (403, "permission_denied")
            place.counted.fetchrow = read  # type: ignore[method-assign]
            await place.database.execute("UPDATE users SET disabled = 0, providers = '[]'")
            assert (await place.who(STATIC)).models == {"cheap"}  # it was not believed for ever

    run(scenario())


async def unavailable(sql: str, *args: object) -> None:
    raise StoreUnavailable("away")


def test_who_asks_after_a_revocation_is_not_told_what_was_read_before(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with accounts(tmp_path) as place:
            token, go_on, read = await place.create(), asyncio.Event(), place.counted.fetchrow
            rows: list[Any] = []

            async def slow(sql: str, *args: Any) -> Any:
                row = await read(sql, *args)
                rows.append(row)
                await go_on.wait()
                return row

            place.counted.fetchrow = slow  # type: ignore[method-assign]
            before = asyncio.create_task(place.who(token), name="before")
            while not rows:
                await asyncio.sleep(0)
            assert await place.store.revoke_token(public_id_of(token.encode()), place.now)
            after = asyncio.create_task(place.refusal(token), name="after")
            await asyncio.sleep(0)
            go_on.set()
            assert (await before).user == "ann"
            assert await after == (401, "invalid_api_key")

    run(scenario())


def test_look_ups_that_nobody_waits_for_are_bounded_and_stop_no_configured_token(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(auth, "LOOK_UPS_LIMIT", 5)

    async def scenario() -> None:
        async with accounts(tmp_path, CONFIG) as place:
            token, go_on, read = await place.create(), asyncio.Event(), place.counted.fetchrow

            async def slow(sql: str, *args: Any) -> Any:
                await go_on.wait()
                return await read(sql, *args)

            place.counted.fetchrow = slow  # type: ignore[method-assign]
            for number in range(20):
                client = asyncio.create_task(place.refusal(f"sk-{number}"), name="client")
                await asyncio.sleep(0)
                client.cancel()
            assert len(place.authenticator._looking) == 5
            assert await place.refusal(token) == (503, "store_unavailable")
            configured = asyncio.create_task(place.who(STATIC), name="configured")
            await asyncio.sleep(0)
            go_on.set()
            assert (await configured).user == "ann"
            while place.authenticator._looking:
                await asyncio.sleep(0)
            assert (await place.who(token)).user == "ann"

    run(scenario())


def test_a_database_that_does_not_answer_is_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(auth, "LOOK_UP_SECONDS", 0.01)

    async def never(*args: object) -> None:
        await asyncio.Event().wait()

    async def scenario() -> None:
        async with accounts(tmp_path) as place:
            token = await place.create()
            place.counted.fetchrow = never  # type: ignore[method-assign, assignment]
            assert await place.refusal(token) == (503, "store_unavailable")
            del place.counted.fetchrow
            assert (await place.who(token)).user == "ann"

    run(scenario())


def test_a_flood_of_wrong_tokens_pushes_nobody_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(auth, "REFUSED_LIMIT", 10)

    async def scenario() -> None:
        async with accounts(tmp_path) as place:
            token = await place.create()
            await place.who(token)
            for number in range(100):
                await place.refusal(f"sk-{number}")
            assert place.remembered(token) is not None
            assert len(place.authenticator._refused) == 10

    run(scenario())


def test_memory_is_bounded_and_keeps_those_who_come_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(auth, "KNOWN_LIMIT", 3)

    async def scenario() -> None:
        async with accounts(tmp_path) as place:
            first, *others = [await place.create(f"user {number}") for number in range(5)]
            await place.who(first)
            for token in others:
                await place.who(token)
                assert place.remembered(first) is not None
            assert [place.remembered(token) is not None for token in others] == [False, False, True, True]

    run(scenario())


near_misses = st.builds(
    lambda at, cut, put: UNKNOWN.encode()[:at] + put + UNKNOWN.encode()[at + cut :],
    st.integers(0, len(UNKNOWN)),
    st.integers(0, 2),
    st.binary(max_size=2),
)


@given(st.binary(max_size=80) | near_misses)
def test_only_what_has_the_form_of_a_token_has_a_public_id(credential: bytes) -> None:
    public_id = public_id_of(credential)
    assert public_id == "" or (len(credential) == len(UNKNOWN) and credential.startswith(f"llmg-{public_id}-".encode()))


@given(st.binary(min_size=40, max_size=40), st.binary(min_size=40, max_size=40))
def test_a_token_has_its_public_id_and_all_of_256_random_bits(one: bytes, two: bytes) -> None:
    def made(entropy: bytes) -> NewToken:
        return make_token(lambda size: entropy[:size] if size == 8 else entropy[8:])

    first, second = made(one), made(two)
    assert public_id_of(first.secret.reveal().encode()) == first.public_id
    assert (first.secret == second.secret) is (
        one[:7] + bytes([one[7] & 0xF0]) + one[8:] == two[:7] + bytes([two[7] & 0xF0]) + two[8:]
    )


names = st.frozensets(st.sampled_from(["a", "b", "c"]))


@given(mine=names, theirs=names, asked=st.sampled_from(["a", "b", "c"]))
def test_a_token_may_use_what_both_it_and_its_user_may(
    mine: frozenset[str], theirs: frozenset[str], asked: str
) -> None:
    known = Known(Identity("ann", "t", models=mine))
    verdict = judge_user(known, UserRow("ann", 1.0, models=tuple(theirs)))
    may = (not mine or asked in mine) and (not theirs or asked in theirs)
    if isinstance(verdict, Refusal):
        assert not may and verdict.status == 403
    else:
        assert (not verdict.identity.models or asked in verdict.identity.models) is may
