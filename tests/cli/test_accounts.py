"""`llmgateway users` and `tokens` as people see them, of a gateway in this process."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from gateway.cli import main
from gateway.cli.table import moment
from gateway.store.entries import Reservation
from tests.api.billed import CENT, SHORT, ask, charges, charging
from tests.api.harness import KEYS, TOKENS, Gateway, configuration, gateway
from tests.conftest import run
from tests.fakes.behaviours import Answer
from tests.fakes.provider import FakeProvider

Command = Callable[..., Coroutine[Any, Any, tuple[str, str]]]


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str]) -> Command:
    """Runs a command that asks this gateway. What it has said, on stdout and on stderr."""

    async def ended(running: Gateway, *words: str) -> tuple[str, str]:
        with suppress(SystemExit):  # wrong usage
            await asyncio.to_thread(main, [*words, "--socket", str(running.admin_socket)])
        said = capsys.readouterr()
        return said.out, said.err

    return ended


def cells(table: str) -> list[dict[str, str]]:
    """The rows of a table by their titles; columns are where the titles are."""
    head, *lines = table.splitlines()
    places = [place for place in range(len(head)) if head[place] != " " and head[max(place - 2, 0) : place].isspace()]
    ends = [*places, None]
    spans = list(zip([0, *places], ends, strict=True))
    return [{head[a:b].strip(): line[a:b].strip() for a, b in spans} for line in lines]


def test_a_token_has_the_moment_it_was_made(tmp_path: Path, command: Command) -> None:
    async def scenario() -> None:
        async with gateway(tmp_path, configuration("http://127.0.0.1:1", more=TOKENS)) as running:
            await command(running, "tokens", "create", "--user", "ann", "--name", "ci", "--expires", "30d")
            listed, _ = await command(running, "tokens", "list", "--user", "ann")
            made, configured = cells(listed)
            row = (await running.administrate("GET", "/admin/tokens?user=ann")).json["tokens"][0]
            assert (made["NAME"], made["CREATED"]) == ("ci", moment(row["created_at"]))
            assert made["EXPIRES"].startswith("in ")
            assert (configured["ID"], configured["CREATED"]) == ("(configured)", "")

    run(scenario())


def test_a_user_has_what_is_reserved_beside_his_balance(tmp_path: Path, command: Command) -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake, charging(tmp_path, fake) as running:
            held = await running.ledger.reserve("ann", 25 * CENT)
            assert isinstance(held, Reservation)
            for words in (("list",), ("show", "ann")):
                (row, *_) = cells((await command(running, "users", *words))[0].partition("\n\n")[0])
                assert (row["USER"], row["BALANCE"], row["RESERVED"]) == ("ann", "100", "0.25")
            running.ledger.release(held)

    run(scenario())


CHOICE = {"index": 0, "message": {"role": "assistant", "content": "Hello!"}, "finish_reason": "stop"}
REPORTED = {"prompt_tokens": 30, "completion_tokens": 5, "prompt_tokens_details": {"cached_tokens": 10}}


def test_a_transaction_has_its_tokens_and_whether_they_are_an_estimate(tmp_path: Path, command: Command) -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake, charging(tmp_path, fake) as running:
            fake.script(KEYS[0], Answer(200, {"choices": [CHOICE], "usage": REPORTED}))
            fake.script(KEYS[1], Answer(200, {"choices": [CHOICE]}))
            assert [(await ask(running)).status for _ in range(2)] == [200, 200]
            (second, _) = await charges(running)
            listed, _ = await command(running, "users", "transactions", "ann")
            guess, sure, credit = cells(listed)
            assert (sure["IN"], sure["OUT"], sure["TOKEN"], sure["WHAT"]) == ("30", "5", "ann", "gpt-4o-mini")
            assert (guess["OUT"], guess["WHAT"]) == ("2", "gpt-4o-mini, estimated")  # "Hello!" is two tokens
            assert guess["TIME"] == moment(second.entry.made_at)
            assert (credit["IN"], credit["OUT"], credit["WHAT"]) == ("", "", "opening balance")
            assert max(map(len, listed.splitlines())) <= 100

    run(scenario())


def test_a_user_of_whom_nothing_is_known_is_noted_once(tmp_path: Path, command: Command) -> None:
    async def scenario() -> None:
        async with gateway(tmp_path, configuration("http://127.0.0.1:1", more=TOKENS)) as running:
            await command(running, "users", "create", "bob")
            for words, noted in (
                (("--user", "ann"), False),  # of the configuration
                (("--user", "bob"), False),
                (("--user", "bbo"), True),
                (("--user", "bbo"), False),
                (("--name", "laptop"), True),
                (("--scope", "admin"), False),  # the user was not the operator's choice
            ):
                token, said = await command(running, "tokens", "create", *words)
                assert token.startswith("llmg-") and "not shown again" in said
                assert ("note: nothing is known of a user" in said) is noted, words

    run(scenario())


def test_a_new_user_gets_his_account_by_his_first_request(tmp_path: Path, command: Command) -> None:
    """As the note says."""

    async def scenario() -> None:
        async with FakeProvider() as fake, charging(tmp_path, fake) as running:
            token, said = await command(running, "tokens", "create", "--user", "bob")
            assert "with billing his first request opens his account" in said
            assert (await running.administrate("GET", "/admin/users/bob")).status == 404
            headers = {"authorization": f"Bearer {token.strip()}"}
            assert (await running.ask("POST", "/v1/chat/completions", SHORT, headers)).status == 200
            assert (await running.administrate("GET", "/admin/users/bob")).status == 200

    run(scenario())


def test_usage_by_token_names_its_user_too(tmp_path: Path, command: Command) -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake, charging(tmp_path, fake) as running:
            token, _ = await command(running, "tokens", "create", "--user", "bob", "--name", "laptop")
            headers = {"authorization": f"Bearer {token.strip()}"}
            assert (await running.ask("POST", "/v1/chat/completions", SHORT, headers)).status == 200
            (row,) = cells((await command(running, "usage", "--by", "token"))[0])
            assert (row["USER"], row["TOKEN"], row["REQUESTS"]) == ("bob", "laptop", "1")

    run(scenario())
