"""The Responses API's memory: which key made an answer, for whom, and what may be asked about it later."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.api.harness import Gateway, configuration, gateway
from tests.conftest import run
from tests.fakes.behaviours import Answer, HangAfter, Stream
from tests.fakes.provider import FakeProvider

ACCOUNTS = """
[auth]
required = true
[tokens.ann]
token = "token-of-ann"
models = ["gpt-4o-mini"]
[tokens.ann-at-home]
token = "token-of-ann-at-home"
user = "ann"
[tokens.bob]
token = "token-of-bob"
[tokens.root]
token = "token-of-root"
scopes = ["admin"]
"""
STORED = [("GET", ""), ("GET", "/input_items"), ("POST", "/cancel"), ("DELETE", "")]


@pytest.mark.parametrize("stream", [False, True])
def test_a_response_is_continued_with_the_key_that_made_it(tmp_path: Path, stream: bool) -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake, gateway(tmp_path, configuration(fake.base_url)) as running:
            asked = {"model": "gpt-4o", "input": "x", "stream": stream}
            await running.ask("POST", "/v1/responses", asked)
            ((made, owner),) = fake.response_owner.items()
            for _ in range(4):
                got = await running.ask("POST", "/v1/responses", {**asked, "previous_response_id": made})
                assert got.status == 200
            for method, path in (
                ("GET", f"/v1/responses/{made}"),
                ("GET", f"/v1/responses/{made}/input_items?limit=2"),
                ("POST", f"/v1/responses/{made}/cancel"),
                ("DELETE", f"/v1/responses/{made}"),
            ):
                await running.ask(method, path)
                assert (fake.requests[-1].method, fake.requests[-1].path) == (method, path)
            assert {seen.key for seen in fake.requests} == {owner}

    run(scenario())


FAILED = {"object": "response", "status": "failed", "error": {"code": "server_error", "message": "It broke."}}


@pytest.mark.parametrize(
    ("method", "below"), [("GET", ""), ("DELETE", ""), ("POST", "/cancel"), ("GET", "/input_items")]
)
def test_that_a_response_failed_is_no_failure_to_fetch_it(tmp_path: Path, method: str, below: str) -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake, gateway(tmp_path, configuration(fake.base_url), ["sk-1"]) as running:
            fake.script("sk-1", Answer(body={"object": "response", "id": "resp_1"}), Answer(body=FAILED))
            await running.ask("POST", "/v1/responses", {"model": "gpt-4o", "input": "x", "background": True})
            got = await running.ask(method, f"/v1/responses/resp_1{below}")
            assert (got.status, got.json) == (200, FAILED)
            assert len(fake.requests) == 2
            line = await running.logged(count=2)
            assert (line["outcome"], line["attempts"]) == ("ok", 1)

    run(scenario())


def test_a_streams_response_is_known_while_it_still_streams(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake, gateway(tmp_path, configuration(fake.base_url), ["sk-1"]) as running:
            fake.script("sk-1", HangAfter(1500, Stream()), Answer())
            async with running.talk() as talk:
                await talk.send("POST", "/v1/responses", {"model": "gpt-4o", "input": "x", "stream": True})
                await talk.head()
                await talk.until(b"response.created")
                (made,) = fake.response_owner
                asked = {"model": "gpt-4o", "input": "y", "previous_response_id": made}
                assert (await running.ask("POST", "/v1/responses", asked)).status == 200

    run(scenario())


def test_a_response_that_was_committed_unseen_is_known_with_its_first_event(tmp_path: Path) -> None:
    more = "[providers.main.streaming]\nhold = 0"

    async def scenario() -> None:
        async with FakeProvider() as fake, gateway(tmp_path, configuration(fake.base_url, more=more)) as running:
            got = await running.ask("POST", "/v1/responses", {"model": "gpt-4o", "input": "x", "stream": True})
            assert got.complete
            ((made, owner),) = fake.response_owner.items()
            await running.ask("GET", f"/v1/responses/{made}")
            assert fake.requests[-1].key == owner

    run(scenario())


def test_a_responses_maker_survives_a_restart(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake:
            async with gateway(tmp_path, configuration(fake.base_url)) as running:
                for _ in range(2):  # the second is not made by the first key in turn
                    await running.ask("POST", "/v1/responses", {"model": "gpt-4o", "input": "x"})
            made, owner = list(fake.response_owner.items())[1]
            async with gateway(tmp_path, configuration(fake.base_url)) as running:
                await running.ask("GET", f"/v1/responses/{made}")
                assert fake.requests[-1].key == owner

    run(scenario())


def of(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer token-of-{token}"}


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("again", [False, True], ids=["at once", "after a restart"])
def test_a_response_is_its_users_and_for_nobody_else_to_see(tmp_path: Path, again: bool, stream: bool) -> None:
    asked = {"model": "gpt-4o-mini", "input": "x", "stream": stream}

    async def scenario() -> None:
        async with FakeProvider() as fake:
            config = configuration(fake.base_url, more=ACCOUNTS)
            async with gateway(tmp_path, config) as running:
                await running.ask("POST", "/v1/responses", asked, of("ann"))
                ((made, _),) = fake.response_owner.items()
                if not again:
                    await visit(running, fake, made)
            if again:
                async with gateway(tmp_path, config) as running:
                    await visit(running, fake, made)

    async def visit(running: Gateway, fake: FakeProvider, made: str) -> None:
        fake.requests.clear()
        follow_up = {**asked, "previous_response_id": made}
        for stranger in ("bob", "root"):
            for method, below in STORED:
                got = await running.ask(method, f"/v1/responses/{made}{below}", b"", of(stranger))
                unknown = await running.ask(method, f"/v1/responses/{made[::-1]}{below}", b"", of(stranger))
                assert (got.status, got.body) == (404, unknown.body.replace(made[::-1].encode(), made.encode()))
            got = await running.ask("POST", "/v1/responses", follow_up, of(stranger))
            assert (got.status, got.code) == (404, "previous_response_not_found")
        assert not fake.requests
        for owner in ("ann", "ann-at-home"):
            assert (await running.ask("POST", "/v1/responses", follow_up, of(owner))).status == 200
            for method, below in STORED:
                await running.ask(method, f"/v1/responses/{made}{below}", b"", of(owner))
        assert len(fake.requests) == 10
        assert {seen.key for seen in fake.requests} == {fake.response_owner[made]}

    run(scenario())


def test_a_response_made_without_a_token_is_for_all_who_have_none(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake:
            config = configuration(fake.base_url, more=ACCOUNTS.replace("required = true", "required = false"))
            async with gateway(tmp_path, config) as running:
                await running.ask("POST", "/v1/responses", {"model": "gpt-4o", "input": "x"})
                ((made, _),) = fake.response_owner.items()
                for token, reached in (("nobody", True), ("bob", False)):
                    got = await running.ask("GET", f"/v1/responses/{made}", b"", of(token))
                    assert (got.header("x-llmgateway-upstream-id") is not None) is reached
                await running.ask("GET", f"/v1/responses/{made}")
                assert len(fake.requests) == 3

    run(scenario())


def test_a_token_for_certain_models_continues_with_these_alone(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake:
            config = configuration(fake.base_url, more=ACCOUNTS)
            async with gateway(tmp_path, config) as running:
                await running.ask("POST", "/v1/responses", {"model": "gpt-4o-mini", "input": "x"}, of("ann"))
                ((made, _),) = fake.response_owner.items()
                for body in ({"model": "gpt-4o"}, {}):
                    asked = {**body, "input": "x", "previous_response_id": made}
                    got = await running.ask("POST", "/v1/responses", asked, of("ann"))
                    assert (got.status, got.code) == (403, "permission_denied")
                assert len(fake.requests) == 1

    run(scenario())


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "code", "param"),
    [
        ("GET", "/v1/responses/resp_x", b"", 404, "not_found", None),
        ("DELETE", "/v1/responses/resp_x", b"", 404, "not_found", None),
        (
            "POST", "/v1/responses", {"model": "gpt-4o", "input": "x", "previous_response_id": "resp_x"},
            404, "previous_response_not_found", "previous_response_id",
        ),
        ("GET", "/v1/responses/", b"", 404, "not_found", None),
        ("GET", "/v1/responses/resp_x/other", b"", 404, "not_found", None),
        ("PUT", "/v1/responses/resp_x", b"", 405, "method_not_allowed", None),
        ("GET", "/v1/responses/resp_x/cancel", b"", 405, "method_not_allowed", None),
    ],
)  # fmt: skip
def test_a_response_that_was_not_made_here_is_not_looked_for(
    tmp_path: Path, method: str, path: str, body: object, status: int, code: str, param: str | None
) -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake, gateway(tmp_path, configuration(fake.base_url)) as running:
            got = await running.ask(method, path, body)
            assert (got.status, got.code, got.error["param"]) == (status, code, param)
            assert not fake.requests

    run(scenario())


def test_a_response_whose_key_is_gone_is_gone(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake, gateway(tmp_path, configuration(fake.base_url)) as running:
            await running.ask("POST", "/v1/responses", {"model": "gpt-4o", "input": "x"})
            ((made, owner),) = fake.response_owner.items()
            running.pool.standings.remove([running.key(owner).digest])
            assert (await running.ask("GET", f"/v1/responses/{made}")).status == 404

    run(scenario())
