"""A fake of the Gemini API: generateContent, streamGenerateContent (with `alt=sse` and as one array), countTokens,
embedContent and batchEmbedContents.

What it refuses is in `gemini_rules.py`. A stream has CRLF, whole function calls, cumulative usage in every chunk, and
where a text is signed, its signature comes behind it with an empty text, as Google's page on signatures says.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from tests.fakes import script
from tests.fakes.api import JSON, Asked, RefusedError, Spoken, encode
from tests.fakes.gemini_rules import MAKER, camel, check_request, is_sentinel, is_third, signed_content, standard
from tests.fakes.script import CallTool, FailingError, Heard, Say, Think, Turn, pieces, play, sign

CONTENT_TYPE = "application/json; charset=UTF-8"
FAILURES: dict[str, tuple[int, str, str]] = {
    "rate": (429, "RESOURCE_EXHAUSTED", "You exceeded your current quota, please check your plan and billing details."),
    "bad": (400, "INVALID_ARGUMENT", "Request contains an invalid argument."),
    "server": (500, "INTERNAL", "An internal error has occurred."),
    "overloaded": (503, "UNAVAILABLE", "The model is overloaded. Please try again later."),
    "context": (
        400,
        "INVALID_ARGUMENT",
        "The input token count (1200000) exceeds the maximum number of tokens allowed (1048576).",
    ),
}
QUOTA = [
    {
        "@type": "type.googleapis.com/google.rpc.QuotaFailure",
        "violations": [{"quotaId": "GenerateRequestsPerMinutePerProjectPerModel-FreeTier"}],
    },
    {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "7s"},
]
STOPS = {"length": "MAX_TOKENS", "filter": "SAFETY"}


class GeminiApi:
    """See the module. `sentinels`: how many signatures were asked to be forgiven."""

    def __init__(self) -> None:
        self.verified: list[str] = []
        self.sentinels = 0

    def answer(self, asked: Asked) -> Spoken:
        model, _, method = asked.path.rpartition("/models/")[2].partition(":")
        body = camel(asked.body)
        asked = replace(asked, body=body)
        try:
            match asked.method, method:
                case "POST", "generateContent" | "streamGenerateContent":
                    return self._generate(asked, model, stream=method == "streamGenerateContent")
                case "POST", "countTokens":
                    counted = body.get("generateContentRequest", body)
                    check_request({name: counted[name] for name in counted if name != "model"}, model)
                    return _whole({"totalTokens": script.INPUT})
                case "POST", "embedContent":
                    return _whole({"embedding": _embedding(body)})
                case "POST", "batchEmbedContents":
                    return _whole({"embeddings": [_embedding(request) for request in body["requests"]]})
            return _failed(404, "NOT_FOUND", f"models/{model} is not found for API version v1beta.")
        except RefusedError as refused:
            return _failed(400, "INVALID_ARGUMENT", refused.message)
        except FailingError as failing:
            return _failed(*FAILURES[failing.args[0]])

    def _generate(self, asked: Asked, model: str, *, stream: bool) -> Spoken:
        check_request(asked.body, model)
        self._verify(asked.body)
        turn = play(hear(asked.body))
        shown = asked.body.get("generationConfig", {}).get("thinkingConfig", {}).get("includeThoughts")
        head = {"modelVersion": model, "responseId": f"resp{asked.number:08}"}
        if not stream:
            if turn.breaks:
                raise FailingError("server")
            parts = [part for each in _parts(turn, model, whole=True, shown=shown) for part in each]
            candidate = {**_content(parts), "finishReason": STOPS.get(turn.stop, "STOP"), "index": 0}
            return _whole({"candidates": [candidate], "usageMetadata": _usage(turn), **head})
        chunks = [{**chunk, **({} if "error" in chunk else head)} for chunk in _chunks(turn, model, shown=shown)]
        if asked.query.get("alt") == "sse":
            events = tuple(b"data: %b\r\n\r\n" % encode(chunk) for chunk in chunks)
            return Spoken(200, "text/event-stream", events)
        pretty = [json.dumps(chunk, indent=2).encode() for chunk in chunks]
        return Spoken(
            200, CONTENT_TYPE, (b"[", *(b"%b%b" % (b",\r\n" * (n > 0), p) for n, p in enumerate(pretty)), b"]")
        )

    def _verify(self, body: dict[str, Any]) -> None:
        for content in body["contents"]:
            for part in content["parts"]:
                signature = part.get("thoughtSignature")
                if signature and is_sentinel(signature):
                    self.sentinels += 1
                elif signature:
                    self.verified.append(standard(signature))


def hear(body: dict[str, Any]) -> Heard:
    config, calling = body.get("generationConfig", {}), body.get("toolConfig", {}).get("functionCallingConfig", {})
    mode, only = calling.get("mode", ""), calling.get("allowedFunctionNames", ())
    heard = Heard(
        system="\n".join(part["text"] for part in body.get("systemInstruction", {}).get("parts", ())),
        tools=[each["name"] for tool in body.get("tools", ()) for each in tool.get("functionDeclarations", ())],
        choice=only[0] if len(only) == 1 else {"ANY": "required"}.get(mode, mode.lower()),
        format=config.get("responseSchema")
        or config.get("responseJsonSchema")
        or "json" * ("responseMimeType" in config),
        thinking=_thinks(config.get("thinkingConfig", {})),
        max_tokens=config.get("maxOutputTokens"),
        temperature=config.get("temperature"),
        stop=config.get("stopSequences", []),
    )
    for content in body["contents"]:
        text = ""
        for part in content["parts"]:
            if "functionResponse" in part:
                _hear_result(part["functionResponse"], heard)
            elif "inlineData" in part:
                heard.media.append(_medium(part["inlineData"]))
            elif not part.get("thought"):
                text += part.get("text", "")
        heard.turns.append(("assistant" if content.get("role") == "model" else "user", text))
    return heard


def _thinks(config: dict[str, Any]) -> bool:
    """All of these models think unless told otherwise; whether thoughts are shown is another matter."""
    return config.get("thinkingBudget") != 0


def _hear_result(result: dict[str, Any], heard: Heard) -> None:
    response = result["response"]
    said = next((response[name] for name in ("output", "result", "error") if name in response), response)
    heard.results.append((result["name"], said if isinstance(said, str) else json.dumps(said), "error" in response))
    heard.media.extend(_medium(part["inlineData"]) for part in result.get("parts", ()))


def _medium(data: dict[str, Any]) -> tuple[str, int]:
    return data["mimeType"], len(base64.b64decode(standard(data["data"])))


def _content(parts: list[dict[str, Any]]) -> dict[str, Any]:
    return {"content": {"parts": parts, "role": "model"}}


def _parts(turn: Turn, model: str, *, whole: bool, shown: bool | None) -> Iterator[list[dict[str, Any]]]:
    """The parts of an answer, in the chunks that they come in."""
    called: list[str] = []
    for part in turn.parts:
        match part:
            case Think(text) if shown:
                yield from ([{"text": piece, "thought": True}] for piece in ([text] if whole else pieces(text)))
            case Say(text):
                signature = {"thoughtSignature": sign(MAKER, text)} if is_third(model) else {}
                if whole:
                    yield [{"text": text, **signature}]
                else:
                    yield from ([{"text": piece}] for piece in pieces(text))
                    if signature:
                        yield [{"text": "", **signature}]
            case CallTool(name, arguments):
                number = {"id": f"call{len(called)}{name}"[:12]} if "3.5" in model else {}  # newer models number them
                call: dict[str, Any] = {"functionCall": {"name": name, "args": arguments, **number}}
                if not called:  # of parallel calls the first alone is signed
                    call["thoughtSignature"] = sign(MAKER, signed_content(call))
                called.append(name)
                yield [call]


def _chunks(turn: Turn, model: str, *, shown: bool | None) -> Iterator[dict[str, Any]]:
    usage = _usage(turn)
    early = {name: usage[name] for name in ("promptTokenCount", "totalTokenCount")}
    for parts in _parts(turn, model, whole=False, shown=shown):
        yield {"candidates": [{**_content(parts), "index": 0}], "usageMetadata": early}
    if turn.breaks:
        code, status, message = FAILURES["overloaded"]
        yield {"error": {"code": code, "message": message, "status": status}}
        return
    last = {**_content([{"text": ""}]), "finishReason": STOPS.get(turn.stop, "STOP"), "index": 0}
    yield {"candidates": [last], "usageMetadata": usage}


def _usage(turn: Turn) -> dict[str, Any]:
    prompt = script.INPUT + script.CACHED
    thoughts = {"thoughtsTokenCount": turn.thought_tokens} if turn.thought_tokens else {}
    return {
        "promptTokenCount": prompt,
        "candidatesTokenCount": script.TEXT_TOKENS,
        "totalTokenCount": prompt + script.TEXT_TOKENS + turn.thought_tokens,
        "cachedContentTokenCount": script.CACHED,
        "promptTokensDetails": [{"modality": "TEXT", "tokenCount": prompt}],
        "cacheTokensDetails": [{"modality": "TEXT", "tokenCount": script.CACHED}],
        **thoughts,
    }


def _embedding(request: dict[str, Any]) -> dict[str, Any]:
    size = request.get("outputDimensionality", 3)
    return {"values": [0.1 * len(part["text"]) for part in request["content"]["parts"]][:1] + [-0.2] * (size - 1)}


def _whole(body: dict[str, Any]) -> Spoken:
    return Spoken(200, CONTENT_TYPE, (json.dumps(body, indent=2).encode(),))


def _failed(code: int, status: str, message: str) -> Spoken:
    error = {"code": code, "message": message, "status": status, **({"details": QUOTA} if code == 429 else {})}
    return Spoken(code, JSON, (json.dumps({"error": error}, indent=2).encode(),))
