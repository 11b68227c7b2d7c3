"""What users see of their money, and what admins do with it."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from gateway.api.billing import write_exactly
from gateway.money import NANO
from gateway.store.entries import Reservation
from tests.api.billed import SHORT, ask, charging
from tests.api.harness import AS_ANN, AS_ROOT, TOKENS, Gateway, Got, configuration, gateway
from tests.conftest import run
from tests.fakes.provider import FakeProvider


async def see(running: Gateway, path: str, headers: Any = AS_ANN) -> Got:
    return await running.ask("GET", path, headers=headers)


async def adjust(running: Gateway, user: str, kind: str, **body: Any) -> Got:
    return await running.administrate("POST", f"/admin/users/{user}/{kind}", body)


def test_a_user_sees_the_balance_before_the_first_request_and_after_it(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake, charging(tmp_path, fake, balance="12.5") as running:
            assert (await see(running, "/billing/balance")).json == {"user_id": "ann", "balance": 12.5}
            await ask(running)
            got = await see(running, "/billing/balance")
            assert got.json["balance"] < 12.5
            page = (await see(running, "/billing/transactions")).json
            assert (page["user_id"], page["limit"], page["offset"]) == ("ann", 50, 0)
            charge, opening = page["transactions"]
            assert charge["description"] == "gpt-4o-mini"
            assert charge["amount"] < 0
            assert charge["balance_after"] == got.json["balance"]
            assert charge["timestamp"].endswith("+00:00")
            assert "key" not in charge
            assert (opening["amount"], opening["description"], opening["kind"]) == (12.5, "opening balance", "credit")

    run(scenario())


def test_who_comes_with_a_json_web_token_gets_the_default_balance_once(tmp_path: Path) -> None:
    jwt = "[auth.jwt]\nsecret = '0123456789abcdef0123456789abcdef'"

    async def scenario() -> None:
        async with FakeProvider() as fake, charging(tmp_path, fake, balance="12.5", billing=jwt) as running:

            async def signed() -> dict[str, str]:
                made = await running.administrate("POST", "/admin/tokens/jwt", {"user": "carol", "ttl": 60})
                return {"authorization": f"Bearer {made.json['token']}"}

            got = await running.ask("POST", "/v1/chat/completions", SHORT, await signed())
            assert got.status == 200
            left = Decimal("12.5") - Decimal(got.header("x-llmgateway-cost") or "")
            seen = await see(running, "/billing/balance", await signed())
            assert seen.json == {"user_id": "carol", "balance": float(left)}
            users = (await running.administrate("GET", "/admin/users")).json["users"]
            assert [(one["name"], one["balance"]) for one in users] == [("carol", str(left))]

    run(scenario())


def test_pages_are_bounded_and_what_is_no_number_is_refused(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake, charging(tmp_path, fake) as running:
            for number in range(3):
                await adjust(running, "ann", "credit", amount=number + 1)
            page = (await see(running, "/billing/transactions?limit=2&offset=1")).json
            assert [one["amount"] for one in page["transactions"]] == [2, 1]
            for query in ("limit=0", "limit=1001", "limit=x", "limit=-1", "offset=-1", "offset=1e3"):
                got = await see(running, f"/billing/transactions?{query}")
                assert (got.status, got.error["param"]) == (400, query[:6].rstrip("=")), query

    run(scenario())


def test_amounts_keep_every_nano_unit() -> None:
    written = write_exactly({"user_id": "ann"}, {"balance": 123456789_123456789, "owed": -1})
    assert written == b'{"user_id":"ann","balance":123456789.123456789,"owed":-0.000000001}'
    assert json.loads(written, parse_float=Decimal)["balance"] == Decimal("123456789.123456789")


def test_users_see_their_own_money_alone_and_nobody_without_a_token_sees_any(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake, charging(tmp_path, fake) as running:
            await adjust(running, "ann", "credit", amount=5)
            assert (await see(running, "/billing/balance", AS_ROOT)).json == {"user_id": "root", "balance": 100}
            assert (await see(running, "/billing/balance", ())).status == 401
            assert (await running.administrate("GET", "/billing/balance")).status == 404

    run(scenario())


def test_without_billing_there_are_no_balances(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake, gateway(tmp_path, configuration(fake.base_url, more=TOKENS)) as running:
            assert (await see(running, "/billing/balance")).status == 404
            assert (await adjust(running, "ann", "credit", amount=5)).code == "not_configured"

    run(scenario())


def test_an_admin_credits_and_debits_with_a_note(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake, charging(tmp_path, fake, balance="1") as running:
            got = await adjust(running, "ann", "credit", amount="20.123456789", note="invoice 7")
            assert (got.status, got.json["balance_after"], got.json["kind"]) == (200, "21.123456789", "credit")
            got = await adjust(running, "ann", "debit", amount=30, note="paid back", force=True)
            assert (got.json["amount"], got.json["balance_after"]) == ("-30", "-8.876543211")
            listed = (await running.administrate("GET", "/admin/users/ann/transactions?limit=2")).json
            assert [one["description"] for one in listed["transactions"]] == ["paid back", "invoice 7"]
            assert (await ask(running)).status == 402

    run(scenario())


def test_an_adjustment_with_an_id_is_made_once(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake, charging(tmp_path, fake, balance="0") as running:
            first = await adjust(running, "ann", "credit", amount=5, id="order-1")
            again = await adjust(running, "ann", "credit", amount=5, id="order-1")
            await adjust(running, "ann", "credit", amount=1)
            last = await adjust(running, "ann", "credit", amount=5, id="order-1")
            assert again.json == {**first.json, "repeated": True}
            assert (first.json["repeated"], last.json["repeated"]) == (False, True)
            assert (last.json["balance_after"], last.json["balance"]) == ("5", "6")
            for user, amount in (("ann", 6), ("root", 5)):
                got = await adjust(running, user, "credit", amount=amount, id="order-1")
                assert (got.status, got.code) == (409, "already_exists")
            assert (await see(running, "/billing/balance")).json["balance"] == 6
            assert (await adjust(running, "ann", "credit", amount=5, id="")).error["param"] == "id"

    run(scenario())


def test_operators_see_every_nano_unit_of_large_sums(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake, charging(tmp_path, fake, balance="0") as running:
            for _ in range(3):
                got = await adjust(running, "ann", "credit", amount="999999999.123456789")
            assert (got.json["amount"], got.json["balance"]) == ("999999999.123456789", "2999999997.370370367")
            (user,) = (await running.administrate("GET", "/admin/users")).json["users"]
            assert (user["balance"], user["reserved"]) == ("2999999997.370370367", "0")

    run(scenario())


def test_a_debit_below_zero_has_to_be_forced(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake, charging(tmp_path, fake, balance="9.5") as running:
            got = await adjust(running, "ann", "debit", amount=989)
            assert (got.status, got.code) == (409, "below_zero")
            assert "would be -979.5" in got.error["message"]
            held = await running.ledger.reserve("ann", 5 * NANO)
            assert isinstance(held, Reservation)
            got = await adjust(running, "ann", "debit", amount=5)
            assert (got.status, got.code) == (409, "below_zero")
            assert "would be 4.5, of which requests in flight have reserved 5;" in got.error["message"]
            running.ledger.release(held)
            assert not await running.ledger.flush(10.0)
            assert (await adjust(running, "ann", "debit", amount=9.5, id="a")).json["balance"] == "0"
            assert (await adjust(running, "ann", "debit", amount=9.5, id="a")).json["repeated"]
            assert (await adjust(running, "ann", "debit", amount=1, force=True)).json["balance"] == "-1"

    run(scenario())


@pytest.mark.parametrize(
    "amount", [0, -1, "x", None, True, "NaN", "Infinity", "1e999999", 1e10, "0.0000000001", [], "1,5"]
)
def test_an_amount_that_is_none_is_refused(tmp_path: Path, amount: object) -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake, charging(tmp_path, fake) as running:
            got = await adjust(running, "ann", "credit", amount=amount)
            assert (got.status, got.error["param"]) == (400, "amount")

    run(scenario())


def test_a_user_who_is_not_known_is_not_credited(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake, charging(tmp_path, fake) as running:
            assert (await adjust(running, "amn", "credit", amount=5)).status == 404
            await running.administrate("POST", "/admin/users", {"name": "bob"})
            await running.administrate("POST", "/admin/tokens", {"user": "cid"})
            for user in ("bob", "cid"):
                assert (await adjust(running, user, "credit", amount=5)).json["balance_after"] == "105"
            got = await running.ask("POST", "/admin/users/ann/credit", {"amount": 5}, AS_ANN)
            assert got.status == 403
            assert (await running.administrate("GET", "/admin/users/ann/credit")).status == 405

    run(scenario())


def test_usage_is_reported_by_user_model_provider_and_key(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake, charging(tmp_path, fake) as running:
            for headers in (AS_ANN, AS_ANN, AS_ROOT):
                await ask(running) if headers is AS_ANN else await running.ask(
                    "POST", "/v1/chat/completions", {"model": "gpt-4o-mini", "messages": []}, AS_ROOT
                )
            report = (await running.administrate("GET", "/admin/usage?by=user")).json
            assert report["currency"] == "USD"
            assert {row["user"]: row["requests"] for row in report["usage"]} == {"ann": 2, "root": 1}
            for by, name in (("model", "gpt-4o-mini"), ("provider", "main")):
                (row,) = (await running.administrate("GET", f"/admin/usage?by={by}&since=3600")).json["usage"]
                assert (row[by], row["requests"], row["errors"]) == (name, 3, 0)
                assert row["input"] > 0 < row["output"]
                assert Decimal(row["cost"]) > 0
            tokens = (await running.administrate("GET", "/admin/usage?by=token")).json["usage"]
            assert {(row["user"], row["token"], row["requests"]) for row in tokens} == {
                ("ann", "ann", 2),
                ("root", "root", 1),
            }
            keys = (await running.administrate("GET", "/admin/usage?by=key")).json["usage"]
            assert sum(row["requests"] for row in keys) == 3
            for query in ("by=nothing", "since=x"):
                assert (await running.administrate("GET", f"/admin/usage?{query}")).status == 400

    run(scenario())


def test_balances_are_in_the_metrics_if_the_operator_wants_that(tmp_path: Path) -> None:
    more = TOKENS.replace("[tokens.ann]", "[metrics]\npublic = true\nuser_balance = true\n[tokens.ann]")

    async def scenario() -> None:
        text = configuration("http://127.0.0.1:1", more=f"{more}[billing]\nenabled = true\ndefault_balance = 7.5\n")
        async with gateway(tmp_path, text) as running:
            await see(running, "/billing/balance")
            page = (await see(running, "/metrics")).body
            assert b'user_balance{user="ann"} 7.5\n' in page

    run(scenario())
