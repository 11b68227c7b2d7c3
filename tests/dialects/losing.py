"""Requests that each lose something which the cases do not, mostly because it depends on what stands beside it."""

from __future__ import annotations

from typing import Any

Json = dict[str, Any]

SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
PDF = "JVBERi0xLjQKJSVFT0YK"


def chat(*messages: Json, **fields: Any) -> Json:
    return {"model": "m", "messages": list(messages) or [{"role": "user", "content": "Hi"}], **fields}


def responses(*items: Json, **fields: Any) -> Json:
    return {"model": "m", "input": list(items) or "Hi", **fields}


def anthropic(*messages: Json, **fields: Any) -> Json:
    said = list(messages) or [{"role": "user", "content": "Hi"}]
    return {"model": "m", "max_tokens": 100, "messages": said, **fields}


def gemini(*contents: Json, **fields: Any) -> Json:
    return {"contents": list(contents) or [{"role": "user", "parts": [{"text": "Hi"}]}], **fields}


def user(*parts: Json) -> Json:
    return {"role": "user", "content": list(parts)}


CHAT_TOOL = {"type": "function", "function": {"name": "f", "parameters": SCHEMA}}
RESPONSES_GRAMMAR = {"type": "grammar", "syntax": "regex", "definition": ".+"}
CHAT_FORMAT = {"type": "json_schema", "json_schema": {"name": "n", "schema": SCHEMA}}

LOSING: dict[str, list[Json]] = {
    "openai_chat": [
        chat(user({"type": "text", "text": "Long", "prompt_cache_breakpoint": {"mode": "explicit"}})),
        chat(reasoning={"max_tokens": 30000}, max_tokens=40000),
        chat(tools=[{"type": "openrouter:web_search"}]),
        chat(max_tokens=5),
        chat(
            {"role": "user", "content": "Hi"},
            {"role": "assistant", "content": "Yes", "reasoning_content": "Hm."},
            {"role": "user", "content": "So?"},
        ),
        chat(
            {"role": "user", "content": "Hi"},
            {
                "role": "assistant",
                "content": "Yes",
                "thinking_blocks": [{"type": "thinking", "thinking": "Hm.", "signature": "abc"}],
            },
            {"role": "user", "content": "So?"},
        ),
        chat(user({"type": "image_url", "image_url": {"url": "https://example.com/a", "detail": "high"}})),
        chat(response_format={"type": "json_object"}, tools=[CHAT_TOOL]),
        chat(
            response_format=CHAT_FORMAT,
            reasoning_effort="high",
            tools=[CHAT_TOOL],
            tool_choice="required",
            max_tokens=20000,
        ),
        chat({"role": "system", "content": "Only this."}),
        chat({"role": "user", "content": "Go on"}, {"role": "assistant", "content": "Once "}),
        chat(stop=[" "]),
        chat(temperature=0.5, top_p=0.5),
        chat(service_tier="priority"),
        chat(reasoning_effort="minimal"),
        chat(reasoning_effort="none"),
    ],
    "openai_responses": [
        responses(user({"type": "input_text", "text": "Long", "prompt_cache_breakpoint": {"mode": "explicit"}})),
        responses(service_tier="fast"),
        responses(reasoning={"effort": "minimal"}),
        responses(reasoning={"effort": "none"}),
        responses(reasoning={"effort": "high", "summary": "concise"}),
        responses(user({"type": "input_text", "text": " "}), {"role": "user", "content": "So?"}),
        responses(
            {"role": "user", "content": "Hi"},
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "So?"},
        ),
        responses(temperature=1.5),
        responses(top_logprobs=2, include=["message.output_text.logprobs"]),
        responses(prompt_cache_retention="24h"),
        responses(text={"format": {"type": "json_schema", "name": "n", "schema": {**SCHEMA, "minProperties": 1}}}),
        responses(
            text={"format": {"type": "json_object"}}, tools=[{"type": "function", "name": "f", "parameters": SCHEMA}]
        ),
        responses({"role": "user", "content": "Go on"}, {"role": "assistant", "content": "Once "}),
        responses({"role": "system", "content": "Only this."}),
        responses(tools=[{"type": "custom", "name": "f", "format": RESPONSES_GRAMMAR}]),
    ],
    "anthropic": [
        anthropic(
            tools=[{"name": "f", "input_schema": SCHEMA}],
            output_config={"format": {"type": "json_schema", "schema": SCHEMA}},
        ),
        anthropic(max_tokens=5),
        anthropic(top_p=0.5),
        anthropic(
            user({"type": "document", "source": {"type": "file", "file_id": "file_1"}}, {"type": "text", "text": "See"})
        ),
        anthropic(output_config={"effort": "max"}),
        anthropic(output_config={"effort": "low"}),
        anthropic(thinking={"type": "enabled", "budget_tokens": 60000}, max_tokens=64000),
        anthropic(thinking={"type": "adaptive"}),
        anthropic(
            {"role": "user", "content": "Hi"},
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "So?"},
        ),
        anthropic(
            {"role": "user", "content": "Go on"},
            {"role": "assistant", "content": " "},
            {"role": "user", "content": "So?"},
        ),
        anthropic(thinking={"type": "disabled"}),
        anthropic(
            user(
                {
                    "type": "document",
                    "source": {"type": "base64", "media_type": "application/pdf", "data": PDF},
                    "context": "C",
                }
            )
        ),
    ],
    "gemini": [
        gemini(
            {
                "role": "user",
                "parts": [{"fileData": {"mimeType": "audio/mpeg", "fileUri": "https://example.com/a.mp3"}}],
            }
        ),
        gemini(
            {
                "role": "user",
                "parts": [{"fileData": {"mimeType": "application/pdf", "fileUri": "https://example.com/a.pdf"}}],
            }
        ),
        gemini(
            {"role": "model", "parts": [{"functionCall": {"name": "f", "args": {}}}]},
            {"role": "user", "parts": [{"functionResponse": {"name": "f", "response": {"error": "Broken"}}}]},
        ),
        gemini(generationConfig={"thinkingConfig": {"thinkingLevel": "MINIMAL"}}),
        gemini(generationConfig={"thinkingConfig": {"thinkingLevel": "LOW"}}),
        gemini(generationConfig={"thinkingConfig": {"thinkingBudget": 0}}),
        gemini(generationConfig={"maxOutputTokens": 5}),
        gemini(generationConfig={"thinkingConfig": {"includeThoughts": True}}),
        gemini(
            {"role": "user", "parts": [{"inlineData": {"mimeType": "audio/mpeg", "data": "AAAA"}}]},
            systemInstruction={"parts": [{"text": "Hear."}]},
        ),
        gemini(
            {"role": "user", "parts": [{"text": " "}]},
            {"role": "model", "parts": [{"text": "Yes"}]},
            {"role": "user", "parts": [{"text": "So?"}]},
        ),
        gemini(
            generationConfig={"responseMimeType": "application/json"},
            tools=[{"functionDeclarations": [{"name": "f", "parametersJsonSchema": SCHEMA}]}],
        ),
        gemini(serviceTier="priority"),
        gemini(generationConfig={"topP": 0.5}),
        gemini(generationConfig={"topK": 5, "thinkingConfig": {"thinkingBudget": 8000}, "maxOutputTokens": 20000}),
        gemini(generationConfig={"mediaResolution": "MEDIA_RESOLUTION_LOW"}),
        gemini({"role": "user", "parts": [{"text": "Go on"}]}, {"role": "model", "parts": [{"text": "Once "}]}),
        gemini(
            {"role": "model", "parts": [{"inlineData": {"mimeType": "image/png", "data": PDF}}]},
            {"role": "user", "parts": [{"text": "So?"}]},
        ),
    ],
}
