"""Money by command and over the network, through a restart."""

from __future__ import annotations

from pathlib import Path

from tests.conftest import run
from tests.e2e.kill_ledger import BILLING, asking
from tests.e2e.load import Caller
from tests.e2e.process import gateway, one_provider, write_keys
from tests.fakes.provider import FakeProvider


def test_users_are_credited_and_debited_by_command_and_what_they_used_is_reported(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake:
            write_keys(tmp_path, ["sk-one-0000000000000001"])
            config = one_provider(fake.base_url, more=BILLING.replace("default_balance = 1000000", ""))
            async with gateway(tmp_path, config) as running:
                ann = Caller(running.address, token="token-of-ann")
                refused = await ann.post("/v1/chat/completions", asking("one"))
                assert (refused.status, refused.json["error"]["code"]) == (402, "insufficient_quota")
                told = await running.command("users", "credit", "ann", "50.25", "--note", "invoice 7", "--id", "7")
                assert (told.code, told.out) == (0, "ann: credit of 50.25, the balance is 50.25\n")
                again = await running.command("users", "credit", "ann", "50.25", "--id", "7", "--json")
                assert (again.json["balance_after"], again.json["repeated"]) == ("50.25", True)
                again = await running.command("users", "credit", "ann", "50.25", "--id", "7")
                assert "already made on 20" in again.out
                assert again.out.endswith("UTC; the balance is 50.25\n")
                told = await running.command("users", "debit", "ann", "0.25")
                assert told.out == "ann: debit of 0.25, the balance is 50\n"
                slip = await running.command("users", "credit", "amn", "1")
                assert (slip.code, "no user 'amn'" in slip.err) == (1, True)
                answer = await ann.post("/v1/chat/completions", asking("two"))
                assert answer.status == 200
                cost = float(answer.headers["x-llmgateway-cost"])
                listed = (await running.command("users", "transactions", "ann")).out.splitlines()
                assert [line.split()[3] for line in listed[1:]] == ["charge", "debit", "credit", "credit"]
                assert "gpt-4o-mini" in listed[1] and "invoice 7" in listed[3]
                older = (await running.command("users", "transactions", "ann", "--offset", "2", "--json")).json
                assert [(one["kind"], one["amount"]) for one in older] == [("credit", "50.25"), ("credit", "0")]
                (row,) = (await running.command("usage", "--by", "user", "--json")).json
                assert (row["user"], row["requests"], row["cost"]) == ("ann", 1, answer.headers["x-llmgateway-cost"])
                shown = await running.command("usage", "--by", "model", "--since", "1h")
                assert shown.out.splitlines()[0].split() == [
                    "MODEL",
                    "REQUESTS",
                    "ERRORS",
                    "IN",
                    "CACHED",
                    "OUT",
                    "USD",
                ]
                assert shown.out.splitlines()[1].split()[:2] == ["gpt-4o-mini", "1"]
                ann.close()
            async with gateway(tmp_path, config) as running:
                ann = Caller(running.address, token="token-of-ann")
                balance = (await ann.request("GET", "/billing/balance")).json
                assert balance == {"user_id": "ann", "balance": round(50 - cost, 9)}
                transactions = (await ann.request("GET", "/billing/transactions?limit=2")).json["transactions"]
                assert [one["kind"] for one in transactions] == ["charge", "debit"]
                (row,) = (await running.command("usage", "--by", "provider", "--json")).json
                assert row["requests"] == 1  # written at the end
                ann.close()

    run(scenario(), 60)
