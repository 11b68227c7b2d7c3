"""Users and API tokens in the database, and how another process learns of changes to them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.config.accounts import RateLimits
from gateway.store.accounts import AccountStore, TokenRow, UserRow
from gateway.store.database import Database
from tests.conftest import run
from tests.store.conftest import opened

LIMITS = RateLimits(requests_per_minute=60, concurrency=2)
ANN = UserRow("ann", 1.0, limits=LIMITS, providers=("main",), models=("gpt-4o",), note="pays late")
TOKEN = TokenRow("id-1", "d1", "laptop", "ann", ("use", "read"), 2.0, limits=LIMITS, models=("m",), expires_at=100.0)


async def version(database: Database) -> object:
    return await database.fetchval("SELECT version FROM accounts_version")


def test_a_user_is_as_it_was_made_and_changed(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with opened(tmp_path) as database:
            store = AccountStore(database)
            assert await store.create_user(ANN)
            assert not await store.create_user(UserRow("ann", 2.0))
            assert await store.user("ann") == ANN
            assert await store.user("Ann") is None
            assert await store.change_user("ann", disabled=True)
            assert await store.change_user("ann", limits=RateLimits(), providers=(), note="")
            changed = await store.user("ann")
            assert changed == UserRow("ann", 1.0, disabled=True, models=("gpt-4o",))
            assert not await store.change_user("bob", disabled=True)

    run(scenario())


def test_users_are_listed_by_name_a_page_at_a_time(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with opened(tmp_path) as database:
            store = AccountStore(database)
            for name in ("carol", "ann", "bob"):
                await store.create_user(UserRow(name, 1.0))
            assert [user.name for user in await store.users(2)] == ["ann", "bob"]
            assert [user.name for user in await store.users(2, after="bob")] == ["carol"]
            assert await store.count_users() == 3

    run(scenario())


def test_a_token_is_found_by_its_public_id_with_its_user(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with opened(tmp_path) as database:
            store = AccountStore(database)
            assert await store.create_token(TOKEN)
            assert await store.token("id-1") == (TOKEN, None)
            await store.create_user(ANN)
            assert await store.token("id-1") == (TOKEN, ANN)
            assert await store.token("") is None
            assert await store.revoke_token("id-1", 5.0)
            assert not await store.revoke_token("id-1", 6.0)
            found = await store.token("id-1")
            assert found is not None and found[0].revoked_at == 5.0

    run(scenario())


def test_a_user_has_one_valid_token_of_a_name(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with opened(tmp_path) as database:
            store = AccountStore(database)
            assert await store.create_token(TOKEN)
            assert not await store.create_token(TokenRow("id-2", "d2", "laptop", "ann", ("use",), 99.0))
            assert await store.create_token(TokenRow("id-3", "d3", "laptop", "bob", ("use",), 99.0))
            assert await store.create_token(TokenRow("id-4", "d4", "laptop", "ann", ("use",), 100.0))  # it has expired
            await store.revoke_token("id-4", 101.0)
            assert await store.create_token(TokenRow("id-5", "d5", "laptop", "ann", ("use",), 102.0))
            assert [token.public_id for token in await store.tokens(9, user="ann")] == ["id-5", "id-4", "id-1"]
            assert [token.public_id for token in await store.tokens(9, called="laptop")] == [
                "id-5", "id-4", "id-3", "id-1",
            ]  # fmt: skip
            assert [token.public_id for token in await store.tokens(9, user="bob", called="id-3")] == ["id-3"]
            assert await store.count_tokens(user="ann") == 3
            assert len(await store.tokens(2)) == 2

    run(scenario())


@pytest.mark.parametrize(
    ("scopes", "expires_at", "revoke", "found"),
    [
        (("admin",), None, False, True),
        (("use", "admin"), 51.0, False, True),
        (("admin",), 50.0, False, False),
        (("admin",), None, True, False),
        (("use", "read"), None, False, False),
    ],
)
def test_an_admin_is_who_may_do_everything_now(
    tmp_path: Path, scopes: tuple[str, ...], expires_at: float | None, revoke: bool, found: bool
) -> None:
    async def scenario() -> None:
        async with opened(tmp_path) as database:
            store = AccountStore(database)
            await store.create_token(TokenRow("id-1", "d", "n", "u", scopes, 1.0, expires_at=expires_at))
            if revoke:
                await store.revoke_token("id-1", 2.0)
            assert await store.has_admin(50.0) is found

    run(scenario())


@pytest.mark.parametrize("disabled", [False, True])
def test_an_admin_who_is_disabled_is_none(tmp_path: Path, disabled: bool) -> None:
    async def scenario() -> None:
        async with opened(tmp_path) as database:
            store = AccountStore(database)
            await store.create_user(ANN)
            await store.create_token(TokenRow("id-1", "d", "n", "ann", ("admin",), 1.0))
            await store.change_user("ann", disabled=disabled)
            assert await store.has_admin(50.0) is not disabled

    run(scenario())


def test_every_change_of_rights_is_counted_here_and_heard_of_elsewhere(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with opened(tmp_path) as database, opened(tmp_path) as another:
            store, other = AccountStore(database), AccountStore(another)
            await other.poll()
            changes: list[Callable[[], Awaitable[object]]] = [
                lambda: store.create_user(ANN),
                lambda: store.change_user("ann", disabled=True),
                lambda: store.create_token(TOKEN),
                lambda: store.revoke_token("id-1", 9.0),
            ]
            for number, change in enumerate(changes, 1):
                known, heard = store.changes, other.changes
                assert await change()
                assert await version(database) == number
                assert store.changes > known
                await other.poll()
                assert other.changes == heard + 1
                await other.poll()
                assert other.changes == heard + 1

    run(scenario())


words = st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20), max_size=4).map(tuple)
limits = st.builds(RateLimits, *[st.integers(0, 10**12)] * 4)


@given(given_limits=limits, providers=words, models=words, note=st.text(st.characters(codec="utf-8"), max_size=50))
def test_whatever_a_user_may_comes_back_as_it_was(
    given_limits: RateLimits, providers: tuple[str, ...], models: tuple[str, ...], note: str
) -> None:
    from gateway.store.accounts import _pack, _pack_limits, _user

    user = UserRow("ann", 1.5, limits=given_limits, providers=providers, models=models, note=note)
    assert _user(("ann", 1.5, 0, _pack_limits(given_limits), _pack(providers), _pack(models), note, 0, 0)) == user
