"""Real recordings of providers through the gateway: status, body and stream bytes arrive as they were recorded.

The recordings are not part of the project. Where their folder is absent (`../shared/traffic`, or what
`LLMGATEWAY_TRAFFIC` names), these tests are skipped.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import re
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import run
from tests.e2e.load import Caller
from tests.e2e.process import ROOT, gateway

TRAFFIC = Path(os.environ.get("LLMGATEWAY_TRAFFIC", ROOT.parent / "shared" / "traffic"))

ENDPOINTS = {
    "chat", "responses", "completions", "embeddings", "images", "audio", "models", "moderations", "rerank", "other",
    "assistants",
}  # fmt: skip
"""Endpoints that speak OpenAI's dialect."""

OTHERS = {
    "anthropic": {"messages", "count_tokens", "models"},
    "gemini": {"generateContent", "countTokens", "embeddings", "models"},
    "vertex": {"generateContent", "countTokens", "embeddings"},
}
"""Endpoints that speak another one, by provider."""

SURFACE = re.compile(
    r"/(chat/completions|completions|responses|embeddings|moderations|rerank|images/\w+|audio/\w+|messages(?:/\w+)?)(\?|$)"
)
METHOD = re.compile(r"/(models/[^/:]+:\w+)(?:\?|$)")
REQUIRED = {"messages": ("model", "messages"), "count_tokens": ("model", "messages"), "generateContent": ("contents",)}

CREDENTIAL_ERRORS = {401, 402}
WRONG_KEY = b"API_KEY_INVALID"
"""Google's word for one, in a 400."""

pytestmark = pytest.mark.skipif(not TRAFFIC.is_dir(), reason="no recordings here")


def recordings() -> Iterator[dict[str, Any]]:
    for path in sorted(TRAFFIC.glob("*.jsonl")):
        for line in path.read_text("utf-8").splitlines():
            record = json.loads(line)
            if record["endpoint"] in OTHERS.get(record["provider"], ENDPOINTS):
                yield as_it_was(record)


def as_it_was(record: dict[str, Any]) -> dict[str, Any]:
    """With signatures as long as they were before they were taken out of the recording: short ones are not Claude's."""
    body = json.dumps(record["request_body"])
    if "signature_REDACTED" in body:
        record["request_body"] = json.loads(body.replace("signature_REDACTED", "signature_REDACTED" + "_" * 200))
    return record


def type_of(record: dict[str, Any]) -> str:
    """The type of provider that speaks the recording's dialect."""
    if record["provider"] not in OTHERS:
        return "openai"
    return "anthropic" if record["provider"] == "anthropic" else "gemini"


def request_of(record: dict[str, Any]) -> tuple[str, bytes, dict[str, str]]:
    """Path at the gateway, body, further headers. What no surface knows goes through `/p/`."""
    body = record["request_body"]
    if body is not None:
        data = json.dumps(body, ensure_ascii=False).encode("utf-8", "surrogatepass")
    else:
        data = record.get("request_body_raw", "").encode("utf-8", "surrogatepass")
    headers = {"content_type": str(record["request_headers"].get("content-type") or "application/json")}
    path = str(record["path"])
    continues = isinstance(body, dict) and body.get("previous_response_id")
    readable = isinstance(body, dict) and record["method"] == "POST" and not continues
    required = REQUIRED.get(record["endpoint"], ()) if type_of(record) != "openai" else ()
    if readable and all(body.get(name) for name in required):
        if type_of(record) == "gemini" and (found := METHOD.search(path)) and "predict" not in path:
            return f"/v1beta/{found[1]}{path[path.find('?') :] if '?' in path else ''}", data, headers
        if type_of(record) != "gemini" and (found := SURFACE.search(path)):
            return f"/v1/{found[1]}", data, headers
    return f"/p/{record['id']}{path}", data, headers


def answer_of(record: dict[str, Any]) -> bytes:
    if record.get("response_body") is None:
        return base64.b64decode(record["response_body_b64"])
    return str(record["response_body"]).encode("utf-8", "surrogatepass")


@asynccontextmanager
async def replay(chop: int, log: Path) -> AsyncIterator[str]:
    """The server that plays the providers; gives its base URL. `log` gets what it received."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(TRAFFIC / "replay_upstream.py"), "--traffic", str(TRAFFIC), "--chop", str(chop),
        "--log", str(log),
        stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    try:
        first = (await process.stdout.readline()).decode()
        yield first.split()[-1]
    finally:
        process.terminate()
        await process.wait()


def configuration(folder: Path, base_url: str, records: list[dict[str, Any]]) -> str:
    """A provider, a key and a token for each recording, so that the token chooses what is played."""
    (folder / "keys").mkdir(parents=True)
    parts = ['[server]\nlisten = ["127.0.0.1:0"]\n[auth]\nrequired = true\n[logging]\nrequests = false\n']
    for record in records:
        name = record["id"]
        key = folder / "keys" / f"{name}.txt"
        key.write_text(f"case-{name}\n")
        key.chmod(0o600)
        parts.append(
            f'[tokens.{name}]\ntoken = "token-of-{name}"\ndefault_provider = "{name}"\n'
            f'[providers.{name}]\ntype = "{type_of(record)}"\nbase_url = "{base_url}/v1"\nmodels = ["none-is-listed"]\n'
            f'[providers.{name}.probe]\nkind = "none"\n'
            f"[providers.{name}.retry]\non_server_error = {{attempts = 0}}\n"
        )
    return "\n".join(parts)


@pytest.mark.parametrize(("chop", "each"), [(1, 6), (7, 2), (4096, 1)])
def test_recordings_pass_through_byte_for_byte(tmp_path: Path, chop: int, each: int) -> None:
    """Byte by byte takes a minute for all of them, so that one in six has to do."""
    records = list(recordings())[::each]
    log = tmp_path / "received.jsonl"
    assert len(records) > 1400 // each

    async def check(address: str, record: dict[str, Any]) -> str:
        path, body, headers = request_of(record)
        caller = Caller(address, token=f"token-of-{record['id']}")
        answer = await caller.request(record["method"], path, body, **headers)
        caller.close()
        if record["status"] in CREDENTIAL_ERRORS or WRONG_KEY in answer_of(record):
            told = answer.status == 502 and b"rejected the gateway's credentials" in answer.body
            return "" if told else f"{record['id']}: {answer.status} for a credential error"
        if answer.status != record["status"]:
            return f"{record['id']}: {answer.status} instead of {record['status']}: {answer.body[:200]!r}"
        return "" if answer.body == answer_of(record) else f"{record['id']}: other bytes"

    async def scenario() -> None:
        async with (
            replay(chop, log) as base_url,
            gateway(tmp_path / "gw", prepare(base_url)) as running,
        ):
            todo = iter(records)
            failures: list[str] = []

            async def work() -> None:
                for record in todo:
                    failures.append(await check(running.address, record))

            await asyncio.gather(*(work() for _ in range(8)))
            assert not [failure for failure in failures if failure]
            assert len(failures) == len(records)
        received = {
            entry["id"]: entry["body"]
            for line in log.read_text("utf-8").splitlines()
            if "body" in (entry := json.loads(line))
        }
        for record in records:
            sent = record["request_body"]
            assert received[record["id"]] == (record.get("request_body_raw", "") if sent is None else sent), record[
                "id"
            ]

    def prepare(base_url: str) -> str:
        (tmp_path / "gw").mkdir()
        return configuration(tmp_path / "gw", base_url, records)

    run(scenario(), 240)
