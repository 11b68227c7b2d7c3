"""Prices in a gateway that runs: read with billing on alone, and anew with each reload."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.config.load import load_config
from gateway.config.model import Config
from gateway.daemon.pricefiles import PricesDamaged, load_price_book
from gateway.errors import ConfigError
from gateway.money import NANO
from gateway.policy.pricelist import to_text, write_list
from gateway.policy.pricing import PriceBook, price_of
from gateway.providers import PROVIDER_FACTS
from tests.conftest import run
from tests.daemon.running import daemon
from tests.daemon.test_reloads import switched_on, talking
from tests.ports import free_port

TOKEN = "token-of-ann-0123"
AUTH = f'[auth]\nrequired = true\n[tokens.ann]\ntoken = "{TOKEN}"\nscopes = ["admin"]\n'
BILLING = f"{AUTH}[billing]\nenabled = true\n"


def import_price(folder: Path, dollars: int, currency: str = "USD") -> None:
    """What `prices import` writes, for a model of the provider `echo` that no other list has."""
    (folder / "state").mkdir(exist_ok=True)
    prices = {"echo": {"m": price_of({"input": dollars * NANO})}}
    (folder / "state/prices.json").write_bytes(to_text(write_list(prices, "test", "2026-11-21", currency)))


def cost_of(book: PriceBook | None) -> int | None:
    assert book is not None
    price = book.find("main", "echo", "m")
    return None if price is None else price.rates.input // NANO


def test_a_reload_takes_an_import_over_and_a_damaged_one_leaves_what_was(tmp_path: Path) -> None:
    async def scenario() -> None:
        import_price(tmp_path, 3)
        async with daemon(tmp_path, f"127.0.0.1:{free_port()}", BILLING) as running:
            holdings = running.daemon._holdings
            assert cost_of(holdings.prices) == 3
            import_price(tmp_path, 4)
            await running.daemon.reload()
            assert cost_of(holdings.prices) == 4
            (tmp_path / "state/prices.json").write_text("{")
            with pytest.raises(PricesDamaged):
                await running.daemon.reload()
            assert cost_of(holdings.prices) == 4

    run(scenario(), 60)


def test_a_reload_that_fails_after_the_prices_were_read_leaves_prices_and_first_balances(tmp_path: Path) -> None:
    async def scenario() -> None:
        import_price(tmp_path, 3)
        listen = f"127.0.0.1:{free_port()}"
        async with daemon(tmp_path, listen, f"{BILLING}default_balance = 5\n") as running:
            import_price(tmp_path, 4)
            running.change(listen, more=f"{BILLING}default_balance = 7\n{switched_on(tmp_path)}")
            with pytest.raises(ConfigError, match="switched"):
                await running.daemon.reload()
            holdings = running.daemon._holdings
            assert (cost_of(holdings.prices), holdings.ledger.default_balance) == (3, 5 * NANO)

    run(scenario(), 60)


def test_models_without_a_price_are_named_at_the_start_and_by_a_reload(tmp_path: Path) -> None:
    async def scenario() -> None:
        import_price(tmp_path, 3)
        listen = f"127.0.0.1:{free_port()}"
        route = '[routes.r]\ntargets = [{provider = "main", model = "n"}, {provider = "main", model = "m"}]\n'
        async with daemon(tmp_path, listen, BILLING) as running:
            assert running.logged("models_unpriced") == []
            running.change(listen, more=f"{BILLING}unpriced = 'free'\n{route}")
            await running.daemon.reload()
            assert running.logged("models_unpriced") == []
            running.change(listen, more=BILLING + route)
            await running.daemon.reload()
            assert (await running.wait_log("models_unpriced"))["models"] == ["n"]
        async with daemon(tmp_path, listen, BILLING + route) as running:
            assert (await running.wait_log("models_unpriced"))["count"] == 1

    run(scenario(), 60)


def test_a_reload_turns_billing_on_and_off(tmp_path: Path) -> None:
    async def scenario() -> None:
        import_price(tmp_path, 3)
        listen = f"127.0.0.1:{free_port()}"
        headers = {"authorization": f"Bearer {TOKEN}"}
        body = {"model": "m", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 10}
        asked: list[tuple[int, bool]] = []
        async with daemon(tmp_path, listen, AUTH) as running:
            for more in (AUTH, f"{BILLING}default_balance = 1\n", f"{BILLING}default_balance = 1\n", AUTH):
                running.change(listen, more=more)
                await running.daemon.reload()
                async with talking(int(listen.rpartition(":")[2])) as talk:
                    await talk.send("POST", "/v1/chat/completions", body, headers=headers)
                    answer = await talk.answer()
                    asked.append((answer.status, answer.header("x-llmgateway-cost") is not None))
            assert asked == [(200, False), (200, True), (200, True), (200, False)]
            entries = await running.daemon._holdings.books.page("ann", 10)
            assert [one.entry.kind for one in entries] == ["charge", "charge", "credit"]

    run(scenario(), 60)


def test_without_billing_no_list_is_read(tmp_path: Path) -> None:
    async def scenario() -> None:
        (tmp_path / "state").mkdir()
        (tmp_path / "state/prices.json").write_text("{")
        async with daemon(tmp_path, f"127.0.0.1:{free_port()}") as running:
            assert running.daemon._holdings.prices is None

    run(scenario(), 60)


def test_an_administrator_asks_what_a_model_costs(tmp_path: Path) -> None:
    async def scenario() -> None:
        import_price(tmp_path, 3)
        port = free_port()
        async with daemon(tmp_path, f"127.0.0.1:{port}", BILLING), talking(port) as talk:
            headers = {"authorization": f"Bearer {TOKEN}"}
            answers = []
            for query in ("model=m", "model=m&provider=main", "model=m&provider=other", "model=x", ""):
                await talk.send("GET", f"/admin/prices?{query}", headers=headers)
                answers.append(await talk.answer())
            row = {"provider": "main", "model": "m", "from": "import 2026-11-21", "input": 3, "output": 0}
            assert [each.status for each in answers] == [200, 200, 200, 200, 400]
            assert [each.json["prices"] for each in answers[:4]] == [[row], [row], [], []]
            assert answers[0].json["billing"] is True

    run(scenario(), 60)


def configured(folder: Path, more: str = "") -> Config:
    (folder / "k.txt").write_text("sk-0000000000000001\n")
    (folder / "config.toml").write_text(f'[providers.main]\ntype = "openai"\nkeys = "k.txt"\n{more}')
    return load_config(folder / "config.toml", {}, provider_types=PROVIDER_FACTS)


def test_the_operators_price_goes_first_and_the_bundled_list_last(tmp_path: Path) -> None:
    book = load_price_book(configured(tmp_path, '[prices."gpt-4o"]\ninput = 7\noutput = 8\n'))
    own, bundled = book.find("main", "openai", "gpt-4o"), book.find("main", "openai", "gpt-4o-mini")
    assert own is not None and own.rates.input == 7 * NANO
    assert bundled is not None and bundled.rates.input == 15 * NANO // 100
    assert book.find("main", "openai", "claude-sonnet-4-5") is None


def test_a_list_in_another_currency_says_nothing(tmp_path: Path) -> None:
    config = configured(tmp_path, '[billing]\ncurrency = "EUR"\n')
    book = load_price_book(config)
    assert book.find("main", "openai", "gpt-4o") is None
