"""Answers with all that a provider's dialect has, for what others have no place for."""

from __future__ import annotations

from typing import Any

from tests.dialects.providers import (
    ROME,
    Said,
    anthropic_answer,
    chat_answer,
    chat_call,
    gemini_answer,
    responses_answer,
)

Json = dict[str, Any]

PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="

RICH: dict[str, Json] = {
    "openai_chat": {
        **chat_answer(Said("Hello", calls=(ROME,), ending="tool_calls")),
        "service_tier": "default",
        "choices": [
            {
                "index": 0,
                "finish_reason": "tool_calls",
                "logprobs": {"content": [{"token": "Hello", "logprob": -0.1, "bytes": None, "top_logprobs": []}]},
                "message": {
                    "role": "assistant",
                    "content": "Hello",
                    "reasoning_content": "Hm.",
                    "annotations": [
                        {
                            "type": "url_citation",
                            "url_citation": {"url": "https://e.com", "title": "E", "start_index": 0, "end_index": 5},
                        }
                    ],
                    "audio": {"id": "audio_1", "data": "UklGRg==", "transcript": "Hello", "expires_at": 1},
                    "images": [{"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PIXEL}"}}],
                    "tool_calls": [
                        chat_call(ROME),
                        {"id": "call_3", "type": "custom", "custom": {"name": "note", "input": "free"}},
                    ],
                },
            },
            {"index": 1, "finish_reason": "stop", "message": {"role": "assistant", "content": "Hi"}},
        ],
    },
    "openai_responses": {
        **responses_answer(Said("Hello")),
        "output": [
            {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "abc"},
            {
                "type": "web_search_call",
                "id": "ws_1",
                "status": "completed",
                "action": {"type": "search", "query": "q"},
            },
            {"type": "image_generation_call", "id": "ig_1", "status": "completed", "result": PIXEL},
            {
                "type": "message",
                "id": "msg_1",
                "role": "assistant",
                "status": "completed",
                "content": [
                    {
                        "type": "output_text",
                        "text": "Hello",
                        "logprobs": [],
                        "annotations": [
                            {
                                "type": "url_citation",
                                "url": "https://e.com",
                                "title": "E",
                                "start_index": 0,
                                "end_index": 5,
                            },
                            {"type": "file_citation", "file_id": "f", "filename": "n", "index": 0},
                        ],
                    }
                ],
            },
            {"type": "custom_tool_call", "id": "ctc_1", "call_id": "call_3", "name": "note", "input": "free"},
        ],
    },
    "anthropic": {
        **anthropic_answer(Said("Hello")),
        "content": [
            {"type": "thinking", "thinking": "Hm.", "signature": "abc"},
            {"type": "redacted_thinking", "data": "def"},
            {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {"query": "q"}},
            {"type": "web_search_tool_result", "tool_use_id": "srvtoolu_1", "content": []},
            {
                "type": "text",
                "text": "Hello",
                "citations": [
                    {
                        "type": "web_search_result_location",
                        "cited_text": "Hello",
                        "url": "https://e.com",
                        "title": "E",
                        "encrypted_index": "x",
                    },
                    {
                        "type": "char_location",
                        "cited_text": "He",
                        "document_index": 0,
                        "document_title": "T",
                        "start_char_index": 0,
                        "end_char_index": 2,
                    },
                ],
            },
        ],
    },
    "gemini": {
        **gemini_answer(Said("Hello")),
        "candidates": [
            {
                "index": 0,
                "finishReason": "STOP",
                "content": {
                    "role": "model",
                    "parts": [
                        {"text": "Hm.", "thought": True},
                        {"text": "Hello", "thoughtSignature": "YWJj"},
                        {"inlineData": {"mimeType": "image/png", "data": PIXEL}},
                        {"inlineData": {"mimeType": "audio/wav", "data": "UklGRg=="}},
                        {"executableCode": {"language": "PYTHON", "code": "1"}},
                        {"codeExecutionResult": {"outcome": "OUTCOME_OK", "output": "1"}},
                    ],
                },
                "groundingMetadata": {
                    "groundingChunks": [
                        {"web": {"uri": "https://e.com", "title": "E"}},
                        {"retrievedContext": {"fileSearchStore": "fileSearchStores/s", "text": "Hello."}},
                    ],
                    "groundingSupports": [
                        {"segment": {"startIndex": 0, "endIndex": 5, "text": "Hello"}, "groundingChunkIndices": [0, 1]}
                    ],
                },
            },
            {"index": 1, "finishReason": "STOP", "content": {"role": "model", "parts": [{"text": "Hi"}]}},
        ],
    },
}
