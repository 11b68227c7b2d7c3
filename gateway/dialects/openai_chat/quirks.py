"""What servers of this dialect do otherwise than OpenAI: the words that may stand in `Target.quirks`.

A provider's preset names those of its server. None of them changes what a request says; they choose the field it is
said in, or leave out what the server would refuse.
"""

from __future__ import annotations

from typing import Final

# --- fields under other names, or not known --------------------------------------------------------------------------

MAX_TOKENS: Final = "max_tokens"
"""Knows `max_tokens` only, whatever the model is called. https://docs.mistral.ai/api/, https://api-docs.deepseek.com/"""

NO_STREAM_OPTIONS: Final = "no_stream_options"
"""Refuses `stream_options`, or sends usage unasked (Mistral, Perplexity; microsoft/semantic-kernel#10510)."""

NO_OPENAI_FIELDS: Final = "no_openai_fields"
"""Answers 4xx to fields that it does not know, so that OpenAI's own (`store`, `verbosity`, `refusal`, …) stay out.
Mistral: 422 "Extra inputs are not permitted" (crush#1590, litellm#30835)."""

NO_OPENAI_HINTS: Final = "no_openai_hints"
"""Answers 4xx to what OpenAI has for its caches, tiers, storage and users, and takes other fields. "property
'prompt_cache_key' is unsupported" (Groq and Cerebras, zed#36215), "Unsupported parameter(s): `prompt_cache_key`"
(NVIDIA, opencode#45113), 'Unknown name "store"' (Google, openclaw#22704). Tiers have other names elsewhere
(https://console.groq.com/docs/service-tiers)."""

NO_INCLUDE: Final = "no_include"
"""Knows no `include` in its Responses: no encrypted thoughts, no log probabilities. Groq lists it, with what
`NO_OPENAI_HINTS` leaves out, among what it does not support (https://console.groq.com/docs/responses-api)."""

RANDOM_SEED: Final = "random_seed"
"""Calls `seed` so. https://docs.mistral.ai/api/"""

TOP_K: Final = "top_k"
"""Takes `top_k`: OpenRouter, vLLM, Together, Fireworks, DashScope. OpenAI refuses it."""

# --- messages --------------------------------------------------------------------------------------------------------

NO_DEVELOPER_ROLE: Final = "no_developer_role"
"""Knows `system` only: "unknown variant `developer`" (DeepSeek, earendil-works/pi#1048); most that are not OpenAI."""

SYSTEM_FIRST: Final = "system_first"
"""Takes one system message, at the beginning: "Unexpected role 'system' after role 'assistant'" (Mistral), "System
message must be at the beginning" (templates of Qwen and others, wherever they are served; llama.cpp#20733)."""

STRING_CONTENT: Final = "string_content"
"""Wants text as one string, parts where there are images and the like only: "invalid type: sequence, expected a string"
(DeepSeek, qwen-code#2320, forgecode#2008), "Input should be a valid string" (SiliconFlow, cherry-studio#3471)."""

SHORT_IDS: Final = "short_ids"
"""Ids of tool calls: "must be a-z, A-Z, 0-9, with a length of 9" (Mistral, opencode#1680)."""

# --- reasoning -------------------------------------------------------------------------------------------------------

REASONING_CONTENT_BACK: Final = "reasoning_content_back"
"""Wants `reasoning_content` back, in messages with tool calls even an empty one: DeepSeek answers 400 "must be passed
back to the API" (https://api-docs.deepseek.com/guides/thinking_mode), Moonshot "thinking is enabled but
reasoning_content is missing" (https://platform.moonshot.ai/docs/guide/use-kimi-k2-thinking-model)."""

REASONING_BACK: Final = "reasoning_back"
"""Takes thoughts without details back as `reasoning`. https://openrouter.ai/docs/use-cases/reasoning-tokens"""

THINKING_PARTS: Final = "thinking_parts"
"""Has thoughts as parts of the content, `{"type": "thinking", "thinking": [{"type": "text", …}]}`, and wants them back.
https://docs.mistral.ai/capabilities/reasoning/"""

REASONING_OBJECT: Final = "reasoning_object"
"""Asks for thoughts by `reasoning: {"effort" | "max_tokens" | "enabled", "exclude"}`.
https://openrouter.ai/docs/use-cases/reasoning-tokens, https://vercel.com/docs/ai-gateway/openai-compat/advanced"""

THINKING_SWITCH: Final = "thinking_switch"
"""Turns thoughts on and off by `thinking: {"type": "enabled" | "disabled"}`.
https://api-docs.deepseek.com/guides/thinking_mode, https://docs.z.ai/guides/capabilities/thinking-mode"""

NO_REASONING_EFFORT: Final = "no_reasoning_effort"
"""Refuses `reasoning_effort`: Moonshot beside `thinking` ("cannot specify both", nanobot#3939)."""

# --- formats and tools -----------------------------------------------------------------------------------------------

NO_JSON_SCHEMA: Final = "no_json_schema"
"""Has JSON mode but no schemas: "This response_format type is unavailable now" (DeepSeek, llm-exe#662). The schema goes
into the prompt."""

NO_CUSTOM_TOOLS: Final = "no_custom_tools"
"""Has functions alone: custom tools become functions with one string, and in place of OpenAI's `allowed_tools` it is
given those alone that may be called."""

# --- media and caches ------------------------------------------------------------------------------------------------

CACHE_CONTROL: Final = "cache_control"
"""Takes Anthropic's `cache_control` on parts, tools and calls. https://openrouter.ai/docs/features/prompt-caching"""

MESSAGE_IMAGES: Final = "message_images"
"""Takes an assistant's images back in `images`. https://openrouter.ai/docs/features/multimodal/image-generation"""

FILE_URL: Final = "file_url"
"""Takes an address for `file_data`. https://openrouter.ai/docs/features/multimodal/pdfs"""

DOCUMENT_URL: Final = "document_url"
"""Takes documents as `{"type": "document_url"}`. https://docs.mistral.ai/capabilities/document_ai/document_qna/"""
