"""The first admin token: when one is made, where it is put, and who can read it."""

from __future__ import annotations

import json
import os
import stat
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gateway.conductor.apitokens import public_id_of
from gateway.config.model import AuthConfig, Config, TokenConfig
from gateway.daemon.firstadmin import ensure_admin
from gateway.errors import StartError
from gateway.observe.logs import Log
from gateway.secret import Secret
from gateway.store.accounts import AccountStore, TokenRow, UserRow
from tests.conftest import run
from tests.store.conftest import opened

ON = Config(auth=AuthConfig("true"))
USER = {"ann": TokenConfig(Secret("token-of-ann"))}
ADMIN = {"root": TokenConfig(Secret("token-of-root"), scopes=("use", "admin"))}


class Started:
    """What a start has left behind."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "state" / "admin.token"
        self.lines: list[dict[str, Any]] = []
        self.log = Log(write=lambda data: self.lines.extend(map(json.loads, data.splitlines())), human=False)

    @property
    def token(self) -> str:
        return self.path.read_text().strip()


async def start(folder: Path, config: Config, store: AccountStore, now: float = 100.0) -> Started:
    started = Started(folder)
    await ensure_admin(replace(config, state_dir=folder / "state"), store, started.log, now)
    started.log.close()
    return started


@pytest.mark.parametrize(
    ("config", "made"),
    [
        (ON, True),
        (replace(ON, tokens=USER), True),
        (replace(ON, tokens=ADMIN), False),
        (Config(), False),
        (replace(Config(), tokens=USER), False),
    ],
)
def test_one_is_made_where_tokens_are_needed_and_nobody_could_make_them(
    tmp_path: Path, config: Config, made: bool
) -> None:
    async def scenario() -> None:
        async with opened(tmp_path) as database:
            started = await start(tmp_path, config, AccountStore(database))
            assert started.path.exists() is made
            assert [line["event"] for line in started.lines] == (["admin_token_made"] if made else [])

    run(scenario())


def test_it_is_for_its_owner_alone_and_told_nowhere_else(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with opened(tmp_path) as database:
            store = AccountStore(database)
            started = await start(tmp_path, ON, store)
            assert stat.S_IMODE(started.path.stat().st_mode) == 0o600
            assert os.listdir(started.path.parent) == ["admin.token"]
            found = await store.token(public_id_of(started.token.encode()))
            assert found is not None
            assert (found[0].scopes, found[0].user, found[0].expires_at) == (("admin",), "admin", None)
            assert found[0].digest == Secret(started.token).digest.hex()
            assert started.token not in str(started.lines)

    run(scenario())


def test_the_next_start_makes_no_other_unless_it_was_revoked(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with opened(tmp_path) as database:
            store = AccountStore(database)
            first = (await start(tmp_path, ON, store)).token
            started = await start(tmp_path, ON, store)
            assert (started.token, started.lines) == (first, [])
            await store.revoke_token(public_id_of(first.encode()), 100.0)
            assert (await start(tmp_path, ON, store)).token != first

    run(scenario())


def test_another_is_made_for_somebody_else_when_the_only_admin_is_disabled(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with opened(tmp_path) as database:
            store = AccountStore(database)
            first = (await start(tmp_path, ON, store)).token
            await store.create_user(UserRow("admin", 1.0))
            await store.change_user("admin", disabled=True)
            second = await start(tmp_path, ON, store)
            public_id = public_id_of(second.token.encode())
            found = await store.token(public_id)
            assert found is not None
            assert (found[0].user, second.token != first) == (f"admin-{public_id}", True)
            assert (await start(tmp_path, ON, store)).lines == []

    run(scenario())


def test_an_admin_token_that_somebody_made_is_enough(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with opened(tmp_path) as database:
            store = AccountStore(database)
            await store.create_token(TokenRow("id", "digest", "mine", "ann", ("admin",), 1.0))
            assert not (await start(tmp_path, ON, store)).path.exists()

    run(scenario())


def test_a_folder_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with opened(tmp_path) as database:
            (tmp_path / "state").write_text("no folder")
            store = AccountStore(database)
            with pytest.raises(StartError, match="first admin token"):
                await start(tmp_path, ON, store)
            assert await store.count_tokens() == 0  # none that nobody has

    run(scenario())
