"""What tests of billing share: a gateway that charges one cent for a token in and two for a token out."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from gateway.store.entries import Written
from tests.api.harness import AS_ANN, CHAT, TOKENS, Gateway, Got, configuration, gateway
from tests.fakes.provider import FakeProvider

CENT = 10**7
"""Nano-units."""

PRICES = """
[billing]
enabled = true
default_balance = {balance}
{billing}
[prices."gpt-4o-mini"]
input = 10000
output = 20000
[prices."whisper-1"]
request = 0.5
"""

SHORT: dict[str, Any] = {**CHAT, "max_tokens": 10}


def prices(balance: str = "100", billing: str = "") -> str:
    return PRICES.format(balance=balance, billing=billing)


@asynccontextmanager
async def charging(
    folder: Path, fake: FakeProvider, balance: str = "100", billing: str = "", kind: str = "openai"
) -> AsyncIterator[Gateway]:
    """Of a provider of type `kind`, without listed prices. Afterwards nothing is reserved, and all sums are right."""
    base = f"{fake.origin}/v1beta" if kind == "gemini" else fake.base_url
    text = configuration(base, more=TOKENS + prices(balance, billing))
    text = text.replace('type = "openai"', f'type = "{kind}"\nprices = "none"')
    async with gateway(folder, text) as running:
        yield running
        while await running.ledger.flush(10):
            pass
        assert await running.books.verify() == []
        assert not await running.database.fetchval("SELECT COUNT(*) FROM reservations")


async def ask(running: Gateway, body: object = SHORT, path: str = "/v1/chat/completions") -> Got:
    return await running.ask("POST", path, body, AS_ANN)


async def charges(running: Gateway, user: str = "ann") -> list[Written]:
    """What the user was charged, the latest first."""
    while await running.ledger.flush(10):
        pass
    return [written for written in await running.books.page(user, 100) if written.entry.kind == "charge"]
