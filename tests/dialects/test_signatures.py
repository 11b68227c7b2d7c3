"""Thoughts, signed, through a loop of tools: back to who signed them, through clients that know nothing of it.

A client calls a tool twice and asks once more. What the provider signed must come back to it in every later request, at
the call it belongs to, and go to nobody else.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any

import pytest

from gateway.dialects.conversation import Request, Thinking, ToolCall
from gateway.dialects.dialect import Plan, Target
from gateway.dialects.gemini.content_writer import SENTINEL
from gateway.dialects.losses import Losses
from gateway.dialects.names import SEALED
from gateway.dialects.whole import Collector
from tests.dialects.pairs import DIALECTS, NAMES, read, read_answer, read_stream, write_answer, write_stream
from tests.dialects.providers import ANSWERS, OSLO, ROME, STREAMS, Said

Json = dict[str, Any]

SIGNERS = {
    "openai_responses": "gpt-5.1",
    "anthropic": "claude-sonnet-4-5",
    "gemini": "gemini-3-pro-preview",
}
"""Who signs, and a model that thinks."""

FIRST, SECOND, ONE, ALONE = (f"{name}-signature-{'x' * 100}" for name in ("first", "second", "one", "alone"))
"""As long as Claude's: shorter ones are another server's."""

TURNS = (
    Said(thinking="Rome first.", signature=FIRST, calls=(ROME,), ending="tool_calls"),
    Said(thinking="Now Oslo.", signature=SECOND, calls=(OSLO,), ending="tool_calls"),
)

SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}

ASKS: dict[str, Json] = {
    "openai_chat": {
        "model": "m",
        "messages": [{"role": "user", "content": "Rome and Oslo?"}],
        "tools": [{"type": "function", "function": {"name": "get_weather", "parameters": SCHEMA}}],
        "reasoning_effort": "high",
    },
    "openai_responses": {
        "model": "m",
        "input": [{"role": "user", "content": "Rome and Oslo?"}],
        "tools": [{"type": "function", "name": "get_weather", "parameters": SCHEMA, "strict": False}],
        "reasoning": {"effort": "high"},
        "include": ["reasoning.encrypted_content"],
        "store": False,
    },
    "anthropic": {
        "model": "m",
        "max_tokens": 20000,
        "messages": [{"role": "user", "content": "Rome and Oslo?"}],
        "tools": [{"name": "get_weather", "input_schema": SCHEMA}],
        "thinking": {"type": "enabled", "budget_tokens": 8000},
    },
    "gemini": {
        "contents": [{"role": "user", "parts": [{"text": "Rome and Oslo?"}]}],
        "tools": [{"functionDeclarations": [{"name": "get_weather", "parametersJsonSchema": SCHEMA}]}],
        "generationConfig": {"thinkingConfig": {"thinkingBudget": 8000, "includeThoughts": True}},
    },
}


# --- clients: what they were told, and the results of the calls in it, become their next request ----------------------


def chat_echo(asked: Json, answer: Json) -> Json:
    """Clients of OpenAI's SDK send back what the SDK has types for, and nothing else."""
    message = answer["choices"][0]["message"]
    known = {name: message[name] for name in ("role", "content", "tool_calls") if name in message}
    results = [{"role": "tool", "tool_call_id": call["id"], "content": "Sunny"} for call in message["tool_calls"]]
    return {**asked, "messages": [*asked["messages"], known, *results]}


def chat_echo_of_all(asked: Json, answer: Json) -> Json:
    """Others send back the whole message, thoughts included."""
    message = answer["choices"][0]["message"]
    results = [{"role": "tool", "tool_call_id": call["id"], "content": "Sunny"} for call in message["tool_calls"]]
    return {**asked, "messages": [*asked["messages"], message, *results]}


def responses_echo(asked: Json, answer: Json) -> Json:
    results = [
        {"type": "function_call_output", "call_id": item["call_id"], "output": "Sunny"}
        for item in answer["output"]
        if item["type"] == "function_call"
    ]
    return {**asked, "input": [*asked["input"], *answer["output"], *results]}


def responses_echo_without_reasoning(asked: Json, answer: Json) -> Json:
    return responses_echo(asked, {"output": [item for item in answer["output"] if item["type"] != "reasoning"]})


def anthropic_echo(asked: Json, answer: Json) -> Json:
    results = [
        {"type": "tool_result", "tool_use_id": block["id"], "content": "Sunny"}
        for block in answer["content"]
        if block["type"] == "tool_use"
    ]
    turn = [{"role": "assistant", "content": answer["content"]}, {"role": "user", "content": results}]
    return {**asked, "messages": [*asked["messages"], *turn]}


def gemini_echo(asked: Json, answer: Json) -> Json:
    content = answer["candidates"][0]["content"]
    calls = [part["functionCall"] for part in content["parts"] if "functionCall" in part]
    results = [
        {"functionResponse": {**{n: c[n] for n in ("id", "name") if n in c}, "response": {"output": "Sunny"}}}
        for c in calls
    ]
    return {**asked, "contents": [*asked["contents"], content, {"role": "user", "parts": results}]}


CLIENTS: dict[str, tuple[str, Callable[[Json, Json], Json]]] = {
    "chat": ("openai_chat", chat_echo),
    "chat_with_thoughts": ("openai_chat", chat_echo_of_all),
    "responses": ("openai_responses", responses_echo),
    "anthropic": ("anthropic", anthropic_echo),
    "gemini": ("gemini", gemini_echo),
}


LOOPS = [(who, provider) for who in CLIENTS for provider in SIGNERS if who != "chat" or provider == "gemini"]
"""All loops that keep their signatures. Those of Anthropic and OpenAI belong to thoughts, and a client that drops the
thoughts drops them; Gemini's belong to calls: in Chat Completions their ids carry them."""

# --- providers: which signatures a request carries, with the city of the call that follows each -----------------------


def signed_calls(provider: str, body: Json) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    signature = ""
    if provider == "openai_responses":
        for item in body["input"]:
            signature = item.get("encrypted_content", signature) if item["type"] == "reasoning" else signature
            if item["type"] == "function_call":
                found.append((signature, json.loads(item["arguments"])["city"]))
                signature = ""
    elif provider == "anthropic":
        for block in (block for message in body["messages"] for block in message["content"]):
            signature = block["signature"] if block["type"] == "thinking" else signature
            if block["type"] == "tool_use":
                found.append((signature, block["input"]["city"]))
                signature = ""
    else:
        for part in (part for content in body["contents"] for part in content["parts"]):
            if "functionCall" in part:
                sealed = part.get("thoughtSignature", "")
                found.append(
                    (base64.b64decode(sealed).decode("utf-8", "replace"), part["functionCall"]["args"]["city"])
                )
    return found


def sent(client: str, provider: str, body: Json, name: str, model: str) -> tuple[Request, Json, Plan]:
    request = read(client, body, model="m")
    written = DIALECTS[provider].write_request(request, Target(name, model), Losses())
    return request, written.body, written.plan


def plan_of(plan: Plan, name: str) -> Plan:
    assert plan.provider == name, "the plan names who is asked, so that its signatures can be told"
    return plan


def conversation(who: str, provider: str) -> tuple[str, Json]:
    """The client's dialect, and its third request."""
    client, echo = CLIENTS[who]
    body = ASKS[client]
    for number, said in enumerate(TURNS):
        request, asked, plan = sent(client, provider, body, "main", SIGNERS[provider])
        assert [city for _, city in signed_calls(provider, asked)] == ["Rome", "Oslo"][:number]
        answer = read_answer(provider, ANSWERS[provider](said), plan_of(plan, "main"))
        body = echo(body, write_answer(client, answer, request))
    return client, body


@pytest.mark.parametrize(("who", "provider"), LOOPS)
def test_signatures_come_back_to_who_signed_at_their_calls(who: str, provider: str) -> None:
    client, body = conversation(who, provider)
    _, asked, _ = sent(client, provider, body, "main", SIGNERS[provider])
    assert signed_calls(provider, asked) == [(FIRST, "Rome"), (SECOND, "Oslo")]


@pytest.mark.parametrize("provider", SIGNERS)
@pytest.mark.parametrize("who", CLIENTS)
def test_signatures_go_to_no_other_provider(who: str, provider: str) -> None:
    client, body = conversation(who, provider)
    for other in NAMES:
        if client == provider == other:
            continue  # a client that shows its own dialect's signatures does not say whose they are
        _, asked, _ = sent(client, other, body, "other", SIGNERS.get(other, "gpt-5.1"))
        text = json.dumps(asked)
        for signature in (FIRST, SECOND):
            assert signature not in text
            assert base64.b64encode(signature.encode()).decode() not in text
        assert "__thought__" not in text, "the provider sees an id with a seal"
        assert SEALED not in text
        assert text.count("Rome") >= 1


@pytest.mark.parametrize("provider", SIGNERS)
@pytest.mark.parametrize("client", NAMES)
def test_a_stream_carries_the_same_signatures_as_a_whole_answer(client: str, provider: str) -> None:
    request = read(client, ASKS[client], model="m", stream=True)
    for said in TURNS:
        deltas = read_stream(provider, STREAMS[provider](said))
        collected = Collector()
        collected.feed(read_stream(client, write_stream(client, deltas, request)))
        answer = read_answer(provider, ANSWERS[provider](said))
        whole = read_answer(client, write_answer(client, answer, request))
        assert signed_parts(collected.answer) == signed_parts(whole)


def signed_parts(answer: Any) -> list[tuple[str, str]]:
    """Ids and signatures, as the client has them."""
    parts = answer.choices[0].parts
    return [
        (part.id if isinstance(part, ToolCall) else "thinking", part.signature.data if part.signature else "")
        for part in parts
        if isinstance(part, ToolCall | Thinking)
    ]


@pytest.mark.parametrize(("who", "provider"), LOOPS)
def test_parallel_calls_keep_the_signature_that_their_turn_has(who: str, provider: str) -> None:
    client, echo = CLIENTS[who]
    said = Said(thinking="Both.", signature=ONE, calls=(ROME, OSLO), ending="tool_calls")
    request, _, plan = sent(client, provider, ASKS[client], "main", SIGNERS[provider])
    answer = read_answer(provider, ANSWERS[provider](said), plan)
    body = echo(ASKS[client], write_answer(client, answer, request))
    _, asked, _ = sent(client, provider, body, "main", SIGNERS[provider])
    calls = signed_calls(provider, asked)
    assert calls[0] == (ONE, "Rome")
    assert calls[1][1] == "Oslo"


@pytest.mark.parametrize("who", [who for who, provider in LOOPS if provider == "anthropic"])
def test_a_thought_without_text_keeps_its_signature(who: str) -> None:
    client, echo = CLIENTS[who]
    said = Said(signature=ALONE, calls=(ROME,), ending="tool_calls")
    request, _, plan = sent(client, "anthropic", ASKS[client], "main", SIGNERS["anthropic"])
    body = echo(ASKS[client], write_answer(client, read_answer("anthropic", ANSWERS["anthropic"](said), plan), request))
    _, asked, _ = sent(client, "anthropic", body, "main", SIGNERS["anthropic"])
    assert signed_calls("anthropic", asked) == [(ALONE, "Rome")]


@pytest.mark.parametrize("who", ["responses", "anthropic"])
def test_a_signed_call_has_a_short_id(who: str) -> None:
    """Codex: "gRPC code-mode host returned tool call ID exceeding 256 bytes". Claude Code names files by ids."""
    client, body = conversation(who, "gemini")
    ids = [part.id for message in read(client, body).messages for part in message.parts if isinstance(part, ToolCall)]
    said = json.dumps(body)
    assert len(ids) == 2
    assert all(len(call_id) <= 40 and f'"{call_id}"' in said for call_id in ids)
    assert "__thought__" not in said


def test_a_call_whose_signature_was_not_sent_back_goes_with_what_google_documents_for_that() -> None:
    request, _, plan = sent("openai_responses", "gemini", ASKS["openai_responses"], "main", SIGNERS["gemini"])
    answer = read_answer("gemini", ANSWERS["gemini"](TURNS[0]), plan)
    written = write_answer("openai_responses", answer, request)
    body = responses_echo_without_reasoning(ASKS["openai_responses"], written)
    _, asked, _ = sent("openai_responses", "gemini", body, "main", SIGNERS["gemini"])
    (call,) = [part for content in asked["contents"] for part in content["parts"] if "functionCall" in part]
    assert call["thoughtSignature"] == SENTINEL


def test_a_client_that_drops_thoughts_is_not_refused_for_it() -> None:
    """Anthropic: "When thinking is enabled, a final assistant message must start with a thinking block"."""
    client, body = conversation("chat", "anthropic")
    losses = Losses()
    asked = DIALECTS["anthropic"].write_request(read(client, body), Target("main", SIGNERS["anthropic"]), losses).body
    assert asked.get("thinking", {"type": "disabled"})["type"] == "disabled"
    assert [loss.name for loss in losses.entries] == ["reasoning_off"]
