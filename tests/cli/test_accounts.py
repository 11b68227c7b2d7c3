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
from tests.api.harness import TOKENS, Gateway, configuration, gateway
from tests.conftest import run

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
