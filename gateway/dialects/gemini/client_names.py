"""What generateContent calls what a neutral request has, in camelCase as Google documents it.
Source: https://ai.google.dev/api/generate-content"""

from __future__ import annotations

from gateway.dialects.client_names import ClientNames
from gateway.dialects.gemini.protojson import camel

_CONFIG = "generationConfig"
_SCHEMAS = (f"{_CONFIG}.responseJsonSchema", f"{_CONFIG}.responseSchema")

CLIENT_NAMES = ClientNames(
    fields={
        "messages": ("contents",),
        "sampling": (_CONFIG,),
        "sampling.top_p": (f"{_CONFIG}.topP",),
        "sampling.top_k": (f"{_CONFIG}.topK",),
        "sampling.presence_penalty": (f"{_CONFIG}.presencePenalty",),
        "sampling.frequency_penalty": (f"{_CONFIG}.frequencyPenalty",),
        "sampling.logprobs": (f"{_CONFIG}.responseLogprobs",),
        "sampling.top_logprobs": (f"{_CONFIG}.logprobs",),
        "max_tokens": (f"{_CONFIG}.maxOutputTokens",),
        "stop": (f"{_CONFIG}.stopSequences",),
        "n": (f"{_CONFIG}.candidateCount",),
        "tool_choice": ("toolConfig.functionCallingConfig",),
        "response_format": (*_SCHEMAS, f"{_CONFIG}.responseMimeType"),
        "response_format.schema": _SCHEMAS,
        "reasoning": (f"{_CONFIG}.thinkingConfig",),
        "reasoning.effort": (f"{_CONFIG}.thinkingConfig.thinkingLevel", f"{_CONFIG}.thinkingConfig.thinkingBudget"),
        "reasoning.budget": (f"{_CONFIG}.thinkingConfig.thinkingBudget",),
        "service_tier": ("serviceTier",),
    },
    inside={
        "detail": ("mediaResolution",),
        "name": ("inlineData.displayName", "fileData.displayName"),
        "arguments": ("functionCall.args",),
        "call_id": ("functionResponse.id", "functionResponse.name"),
        "is_error": ("functionResponse.response.error",),
        "parameters": ("parametersJsonSchema", "parameters"),
    },
    fold=camel,
)
