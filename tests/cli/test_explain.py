"""`llmgateway keys explain`: what an answer means, by what, and what follows. No gateway runs."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest

from tests.cli.place import empty_place, run
from tests.providers.bodies import google, openai, quota_failure

CONFIG = """
[providers.main]
type = "openai"
[providers.main.health]
rate_limit = 90

[providers.fast]
type = "groq"

[[providers.fast.error_parsing.rules]]
status_code = 418
error_path = "error.code"
match_pattern = "^teapot$"
map_to = "no_quota"
priority = 3
description = "out of tea"
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    place = empty_place(tmp_path, monkeypatch)
    (place / "config.toml").write_text(CONFIG)
    return place


def explain(capsys: pytest.CaptureFixture[str], provider: str, status: int, body: bytes, *words: str) -> Any:
    Path("answer").write_bytes(body)
    args = ("--provider", provider, "--status", str(status), "--body", "answer", "--json", *words)
    assert run("keys", "explain", *args) == 0
    return json.loads(capsys.readouterr().out)


def test_a_rule_of_the_operators_decides_first(capsys: pytest.CaptureFixture[str]) -> None:
    answer = explain(capsys, "fast", 418, openai("No.", code="teapot"), "--header", "Retry-After: 7200")
    assert answer["decided_by"] == {"table": "rules", "rule": 1, "priority": 3, "description": "out of tea"}
    assert answer["verdict"]["status"] == "no_quota"
    assert (answer["verdict"]["source"], answer["verdict"]["said"]) == ("retry-after", "7200")
    assert answer["key"]["status"] == "no_quota"
    assert answer["key"]["until"] == answer["verdict"]["until"]
    assert "one request tries it" in answer["key"]["then"]


LIMIT = "Rate limit reached for model `m` in organization `o` on tokens. Please try again in 52m."
DAILY = google(429, "RESOURCE_EXHAUSTED", "Quota.", quota_failure("RequestsPerDayPerProjectPerModel"))

EXPLAINED = [
    ("fast", 429, openai(LIMIT), "groq", "rate_limited_for_model", "key_model", "rate_limited", "text"),
    ("main", 429, b"slow down", "common", "rate_limited", "key", "rate_limited", None),
    ("main", 429, DAILY, "openai", "daily_quota_of_model", "key_model", "no_quota", "quota"),
    ("main", 401, b"", "common", "credential_rejected", "key", "suspect", None),
    ("main", 500, b"", "common", "server_error", "provider", "valid", None),
    ("main", 404, openai("No.", code="model_not_found"), "common", "model_not_found", "client", "valid", None),
    ("main", 418, b"", "none", "bad_request", "client", "valid", None),
    ("main", 200, openai("No.", code="invalid_api_key"), "common", "credential_rejected", "key", "suspect", None),
]


@pytest.mark.parametrize(
    ("provider", "status", "body", "table", "row", "scope", "key", "source"), EXPLAINED, ids=lambda each: str(each)[:20]
)
def test_it_names_the_table_the_row_and_what_follows(
    capsys: pytest.CaptureFixture[str],
    provider: str, status: int, body: bytes, table: str, row: str, scope: str, key: str, source: str | None,
) -> None:  # fmt: skip
    answer = explain(capsys, provider, status, body, "--model", "m")
    assert answer["decided_by"] == {"table": table, "row": row}
    assert (answer["verdict"]["scope"], answer["key"]["status"]) == (scope, key)
    assert answer["verdict"]["source"] == source
    assert (answer["key"]["until"] is None) == (key == "valid")
    assert answer["key"]["model"] == ("m" if scope == "key_model" else None)


def test_for_people_it_says_the_same_in_lines(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    stdin = io.TextIOWrapper(io.BytesIO(openai("Wrong key.\x1b[2J", code="invalid_api_key")))
    monkeypatch.setattr("sys.stdin", stdin)
    assert run("keys", "explain", "--provider", "main", "--status", "401", "--body", "-") == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("  ")[0].strip() for line in lines] == [
        "provider", "decided by", "verdict", "until", "evidence", "the key", "then",
    ]  # fmt: skip
    assert "the table common to all, row credential_rejected" in lines[1]
    assert "not named by the provider" in lines[3]
    assert "\x1b" not in lines[4]
    assert "(in 1 m 5 s)" in lines[5]
    assert "it is probed; 3 more rejections in a row make it invalid_key" in lines[6]


def test_the_policys_own_rest_is_that_of_the_configuration(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("keys", "explain", "--provider", "main", "--status", "429") == 0
    out = capsys.readouterr().out
    assert "(in 1 m 30 s)" in out
    assert "unless this is the last usable one" in out


def test_a_rest_that_the_provider_names_holds_for_the_last_key_too(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("keys", "explain", "--provider", "main", "--status", "429", "--header", "Retry-After: 20") == 0
    assert "last usable" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("status", "body", "why"),
    [
        ("401", b"", "only the end of a rate limit, a quota or a fault of its own is the provider's to name"),
        ("429", openai("No.", code="insufficient_quota"), "a used-up quota is not back within 60 s"),
    ],
)
def test_a_time_that_is_not_believed_is_told_with_the_reason(
    status: str, body: bytes, why: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("answer").write_bytes(body)
    words = ("--provider", "main", "--status", status, "--body", "answer", "--header", "Retry-After: 20")
    assert run("keys", "explain", *words) == 0
    assert f"named by retry-after (20), but not believed: {why}" in capsys.readouterr().out
    assert run("keys", "explain", *words, "--json") == 0
    verdict = json.loads(capsys.readouterr().out)["verdict"]
    assert verdict["until"] is None and verdict["source"] is None
    assert verdict["doubted"]["said"] == "20"


def test_a_provider_at_fault_may_name_the_time_before_which_nothing_is_tried_again(
    capsys: pytest.CaptureFixture[str],
) -> None:
    words = ("--provider", "main", "--status", "503", "--header", "Retry-After: 20")
    assert run("keys", "explain", *words) == 0
    assert "no retry within 20 s, by retry-after: 20" in capsys.readouterr().out
    assert run("keys", "explain", *words, "--json") == 0
    verdict = json.loads(capsys.readouterr().out)["verdict"]
    assert (verdict["wait"], verdict["until"], verdict["source"]) == (20.0, None, "retry-after")


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (("--provider", "nobody", "--status", "429"), 1, "there is no provider 'nobody'"),
        (("--provider", "main", "--status", "42"), 2, "is no status of an error: 400 to 599, or 200"),
        (("--provider", "main", "--status", "999"), 2, "is no status of an error"),
        (("--provider", "main", "--status", "302"), 2, "is no status of an error"),
        (("--provider", "main", "--status", "429", "--header", "nonsense"), 2, "is no header"),
        (("--provider", "main", "--status", "200"), 1, "is no error"),
        (("--provider", "main", "--status", "429", "--body", "missing"), 1, "missing"),
    ],
)
def test_mistakes_are_said(words: tuple[str, ...], code: int, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("keys", "explain", *words) == code
    assert message in capsys.readouterr().err
