"""Claude Code and Codex through the gateway to every provider: whole turns with thoughts and tools, on their own terms.

They are looked for on PATH and in `$LLMGATEWAY_CLIENTS/node_modules/.bin`; CONTRIBUTING.md says how to install them.
The providers are strict fakes that verify what they have signed (`tests/fakes/api.py`), so a turn ends well only if the
client's requests are taken, its tools really run, and thoughts come back as it got them.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.api.harness import Gateway, gateway
from tests.conftest import run
from tests.e2e.talk import PNG
from tests.fakes.anthropic_api import AnthropicApi
from tests.fakes.api import FakeApi
from tests.fakes.gemini_api import GeminiApi
from tests.fakes.openai_api import OpenAIApi
from tests.fakes.provider import FakeProvider

SECRET = "PLUM-4711"
SECONDS = 60.0
"""For one client, from its start to its end; a few are the rule."""

DIALECTS = {"chat": "openai_chat", "responses": "openai_responses", "anthropic": "anthropic", "gemini": "gemini"}
TYPES = {"chat": "openai", "responses": "openai", "anthropic": "anthropic", "gemini": "gemini"}
APIS: dict[str, type[FakeApi]] = {
    "chat": OpenAIApi, "responses": OpenAIApi, "anthropic": AnthropicApi, "gemini": GeminiApi,
}  # fmt: skip


def find(program: str) -> str | None:
    installed = Path(os.environ.get("LLMGATEWAY_CLIENTS", "")).absolute() / "node_modules" / ".bin"
    return shutil.which(program, path=os.pathsep.join([str(installed), os.environ.get("PATH", "")]))


CLAUDE, CODEX = find("claude"), find("codex")
claude_code = pytest.mark.skipif(CLAUDE is None, reason="Claude Code is not installed")
codex = pytest.mark.skipif(CODEX is None, reason="Codex is not installed")


@dataclass(frozen=True, slots=True)
class Ran:
    """What came of a client: its last words, and what the provider was sent and had verified."""

    words: str
    requests: list[str]
    verified: int


async def start(folder: Path, *command: str, environ: Mapping[str, str]) -> str:
    """What a client prints. It has a home of its own and nothing of this environment but PATH."""
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=folder / "project",
        env={"PATH": os.environ["PATH"], "HOME": str(folder / "home"), **environ},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        out, err = await process.communicate()
    except asyncio.CancelledError:
        process.kill()
        raise
    if process.returncode:
        pytest.fail(
            f"{command[0]} ended with {process.returncode}:\n{out.decode()[-2000:]}\n{err.decode()[-2000:]}",
            pytrace=False,
        )
    return out.decode()


async def run_claude(folder: Path, address: str, model: str, prompt: str) -> str:
    assert CLAUDE is not None
    environ = {
        "ANTHROPIC_BASE_URL": address,
        "ANTHROPIC_API_KEY": "anything",
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
        "DISABLE_AUTOUPDATER": "1",
    }
    options = ("--model", model, "--output-format", "json", "--allowedTools", "Bash Grep Read")
    out = await start(folder, CLAUDE, "-p", prompt, *options, environ=environ)
    return str(json.loads(out)["result"])


async def run_codex(folder: Path, address: str, model: str, prompt: str) -> str:
    assert CODEX is not None
    home = folder / "home" / ".codex"
    home.mkdir()
    (home / "config.toml").write_text(f"""
model = "{model}"
model_provider = "gateway"
[model_providers.gateway]
name = "gateway"
base_url = "{address}/v1"
wire_api = "responses"
""")
    options = ("--json", "--skip-git-repo-check", "--dangerously-bypass-approvals-and-sandbox")
    out = await start(folder, CODEX, "exec", *options, prompt, environ={"CODEX_HOME": str(home)})
    items = [event["item"] for event in map(json.loads, out.splitlines()) if event["type"] == "item.completed"]
    return str([item["text"] for item in items if item["type"] == "agent_message"][-1])


def turn(folder: Path, client: str, provider: str, model: str, prompt: str) -> Ran:
    """One run of a client with this provider behind the gateway. `model` is as in `models` of a configuration."""

    async def scenario() -> Ran:
        async with FakeProvider(api=APIS[provider]()) as fake:
            config = f"""
[server]
listen = ["127.0.0.1:0"]
[providers.{provider}]
type = "{TYPES[provider]}"
dialects = ["{DIALECTS[provider]}"]
base_url = "{fake.origin}/{"v1beta" if provider == "gemini" else "v1"}"
models = ["{model}"]
"""
            async with gateway(folder, config, {provider: ["sk-one-00000000000000001"]}) as running:
                words = await CLIENTS[client](folder, _address(running), model.partition("=")[0], prompt)
            assert fake.api is not None
            return Ran(words, [seen.body.decode() for seen in fake.requests], len(fake.api.verified))

    for name in ("home", "project"):
        (folder / name).mkdir(exist_ok=True)
    (folder / "project" / "secret.txt").write_text(f"{SECRET}\n")
    return run(scenario(), SECONDS)


CLIENTS = {"claude": run_claude, "codex": run_codex}


def _address(running: Gateway) -> str:
    return f"http://{running.server.addresses()[0]}"


PROVIDERS = pytest.mark.parametrize(
    ("provider", "model", "signs"),
    [
        ("chat", "gpt-5", False),
        ("responses", "gpt-5", True),
        ("anthropic", "claude-opus-4-7", True),
        ("gemini", "gemini-2.5-flash", True),
        ("gemini", "gemini-3-pro-preview", True),
    ],
)


READ = "I have read it."


@claude_code
@PROVIDERS
def test_claude_code_reads_a_file(tmp_path: Path, provider: str, model: str, signs: bool) -> None:
    script = f'DO think Hm. | call Bash {{"command": "cat secret.txt", "description": "look"}} // say {READ}'
    ran = turn(tmp_path, "claude", provider, model, script)
    assert ran.words == READ
    assert len(ran.requests) == 2
    assert SECRET in ran.requests[-1]
    assert bool(ran.verified) is signs


@codex
@PROVIDERS
def test_codex_reads_a_file(tmp_path: Path, provider: str, model: str, signs: bool) -> None:
    script = f'DO think Hm. | call exec_command {{"cmd": "cat secret.txt"}} // say {READ}'
    ran = turn(tmp_path, "codex", provider, model, script)
    assert ran.words == READ
    assert len(ran.requests) == 2
    assert SECRET in ran.requests[-1]
    assert bool(ran.verified) is signs


@claude_code
@PROVIDERS
def test_claude_code_shows_an_image_and_a_text_at_once(tmp_path: Path, provider: str, model: str, signs: bool) -> None:
    (tmp_path / "project").mkdir()
    (tmp_path / "project" / "dot.png").write_bytes(PNG)
    calls = [f'call Read {{"file_path": "{tmp_path}/project/{name}"}}' for name in ("dot.png", "secret.txt")]
    ran = turn(tmp_path, "claude", provider, model, f"DO think Hm. | {' | '.join(calls)} // say {READ}")
    assert ran.words == READ
    assert SECRET in ran.requests[-1]
    assert base64.b64encode(PNG).decode()[:40] in ran.requests[-1]
    assert bool(ran.verified) is signs


@claude_code
def test_claude_code_keeps_a_long_result_in_a_file_that_the_calls_id_names(tmp_path: Path) -> None:
    (tmp_path / "project").mkdir()
    (tmp_path / "project" / "long.txt").write_text("\n".join(f"line {number} of it" for number in range(9000)))
    search = {"pattern": "line", "path": "long.txt", "output_mode": "content", "head_limit": 0}
    script = f"DO call Grep {json.dumps(search)} // say {READ}"
    ran = turn(tmp_path, "claude", "gemini", "gemini-3-pro-preview", script)
    assert (ran.words, ran.verified) == (READ, 1)
    assert "persisted-output" in ran.requests[-1] and "line 8999 of it" not in ran.requests[-1]
    (kept,) = tmp_path.glob("home/.claude/projects/*/*/tool-results/*.txt")
    assert "line 8999 of it" in kept.read_text()


@codex
@PROVIDERS
def test_codex_shows_an_image(tmp_path: Path, provider: str, model: str, signs: bool) -> None:
    (tmp_path / "project").mkdir()
    (tmp_path / "project" / "dot.png").write_bytes(PNG)
    ran = turn(
        tmp_path, "codex", provider, model, f'DO think Hm. | call view_image {{"path": "dot.png"}} // say {READ}'
    )
    assert ran.words == READ
    assert "image/png" in ran.requests[-1]
    assert bool(ran.verified) is signs


TRANSLATED = pytest.mark.parametrize(
    ("provider", "model"), [("chat", "gpt-5"), ("anthropic", "claude-opus-4-7"), ("gemini", "gemini-3-pro-preview")]
)
"""Codex has other tools for models that it knows by name; here the provider's has an alias."""


@codex
@TRANSLATED
def test_codex_patches_a_file_by_a_tool_of_free_text(tmp_path: Path, provider: str, model: str) -> None:
    patch = f"*** Begin Patch\n*** Update File: secret.txt\n@@\n-{SECRET}\n+PEAR\n*** End Patch\n"
    script = f"DO call apply_patch {json.dumps({'input': patch})} // say Done."
    ran = turn(tmp_path, "codex", provider, f"gpt-5.5={model}", script)
    assert ran.words == "Done."
    assert (tmp_path / "project" / "secret.txt").read_text() == "PEAR\n"


@codex
@TRANSLATED
def test_codex_runs_a_program_whose_tool_stands_among_its_messages(tmp_path: Path, provider: str, model: str) -> None:
    program = "const ran = await tools.exec_command({cmd: 'cat secret.txt'}); text(ran.output);"
    script = f"DO call functions__exec {json.dumps({'input': program})} // say {READ}"
    ran = turn(tmp_path, "codex", provider, f"gpt-5.6-sol={model}", script)
    assert ran.words == READ
    assert SECRET in ran.requests[-1]
