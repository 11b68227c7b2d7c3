"""`llmgateway status` as people see it."""

from __future__ import annotations

import time
from typing import Any

import pytest

from gateway.cli import status
from tests.cli.place import run


def provider(name: str, to_probe: int = 0, problems: list[str] | None = None, **more: Any) -> dict[str, Any]:
    file = {"path": f"{name}.txt", "world_readable": False, "problems": problems or []}
    return {
        "name": name, "type": "openai", "keys": 1, "usable": 1, "waiting": 0, "counts": {}, "next_recovery": None,
        "guard": None, "outage": None, "breakers": [],
        "due": 0, "to_probe": to_probe, "probing": "models", "groups": [],
        "files": [file], **more,
    }  # fmt: skip


MEMORY = {"storage": "memory", "alone_since": None, "last_error": ""}


def shown(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *providers: dict[str, Any], **more: Any
) -> str:
    answer = {
        "version": "1", "pid": 1, "uptime_seconds": 1, "config": "c", "proxies": [], "inventory_problem": "",
        "auth": False, "billing": False,
        "providers": providers, "limits": MEMORY, **more,
    }  # fmt: skip
    monkeypatch.setattr(status, "call", lambda *_: answer)
    assert run("status") == 0
    return capsys.readouterr().out


def test_whether_auth_and_billing_are_on_stands_beside_the_configuration(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "\nc\nauth off, billing off\n\n" in shown(monkeypatch, capsys, provider("a"))
    assert "\nc\nauth on, billing on\n\n" in shown(monkeypatch, capsys, provider("a"), auth=True, billing=True)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ({"changed": [], "switched": {}}, "reloaded; nothing changed\n"),
        ({"changed": ["billing"], "switched": {}}, "reloaded; changed: billing\n"),
        (
            {"changed": ["auth", "billing"], "switched": {"auth": False, "billing": True}},
            "reloaded; changed: auth, billing; auth is off now; billing is on now\n",
        ),
    ],
)
def test_a_reload_says_what_it_has_switched(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], answer: dict[str, Any], said: str
) -> None:
    monkeypatch.setattr(status, "call", lambda *_: answer)
    assert run("reload") == 0
    assert capsys.readouterr().out == said


def test_problems_of_files_stand_together_and_one_key_is_one(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = shown(monkeypatch, capsys, provider("a", 1, ["one", "two"]), provider("b", 2, ["three"]))
    assert out.endswith("\n\na: a.txt: one\na: a.txt: two\nb: b.txt: three\n")
    assert "a: 1 key is waiting for a probe" in out and "b: 2 keys are waiting" in out


NOW = 1_800_000_000.0
PROXY = "http://****@proxy.test:1"


def an_outage(cause: str, proxy: str | None = None, keys: int = 3) -> dict[str, Any]:
    since = NOW - 120
    return {"cause": cause, "since": since, "count": 7, "keys": keys, "last_error": "500 on\x1bfire", "proxy": proxy}


def a_guard(cause: str, proxy: str | None = None) -> dict[str, Any]:
    next_canary = NOW - 1
    return {**an_outage(cause, proxy), "last_error": "401 wrong", "canaries": 1, "next_canary": next_canary}


@pytest.mark.parametrize(
    ("guard", "outage", "said"),
    [
        (
            None,
            an_outage("provider_down"),
            "main: provider down for 2 m: 7 attempts in a row failed, with 3 different keys. No key is blamed. "
            "See the provider's own status page, and base_url. Last error: 500 on fire",
        ),
        (
            None,
            {**an_outage("provider_down"), "last_error": "the host name of a.test cannot be resolved"},
            "main: provider down for 2 m: 7 attempts in a row failed, with 3 different keys. No key is blamed. "
            "See this machine's DNS and network, and base_url. Last error: the host name of a.test cannot be resolved",
        ),
        (
            None,
            an_outage("egress_blocked", PROXY, keys=1),
            f"main: egress blocked for 2 m: 7 attempts in a row failed, with 1 key, all through {PROXY}. No key is "
            "blamed. Send its requests another way (llmgateway help proxies), or ask the provider. "
            "Last error: 500 on fire",
        ),
        (
            a_guard("egress_blocked", PROXY),
            None,
            f"main: egress blocked for 2 m: 3 different keys that were good are rejected alike, all through {PROXY}, "
            "so none of them is blamed. One request at a time looks whether it is over (next now). Send its requests "
            "another way (llmgateway help proxies), or ask the provider. If all of these keys have been revoked, "
            "replace them. Last error: 401 wrong",
        ),
        (
            a_guard("provider_down"),
            an_outage("provider_down"),
            "main: provider down for 2 m: 3 different keys that were good are rejected alike, so none of them is "
            "blamed. One request at a time looks whether it is over (next now). See the provider's own status page, "
            "and base_url. If all of these keys have been revoked, replace them. Last error: 401 wrong",
        ),
    ],
)
def test_what_keeps_everybody_from_getting_through_is_one_line_that_names_the_cause(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    guard: dict[str, Any] | None,
    outage: dict[str, Any] | None,
    said: str,
) -> None:
    monkeypatch.setattr(time, "time", lambda: NOW)
    out = shown(monkeypatch, capsys, provider("main", guard=guard, outage=outage), provider("other"))
    assert f"\n\n{said}\n" in out
    assert "\nother: " not in out


def test_limits_are_mentioned_only_while_they_are_not_shared(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "limits" not in shown(monkeypatch, capsys, provider("a"))
    alone = {"storage": "redis", "alone_since": time.time() - 7200, "last_error": "no\x1banswer"}
    out = shown(monkeypatch, capsys, provider("a"), limits=alone)
    assert "limits: Redis has not answered for 2 h" in out and "Last error: no" in out and "\x1b" not in out
