"""Provider types for vendors and local servers that speak OpenAI's dialect: one line each.

`type = "groq"` is `type = "openai"` with the vendor's address and the meaning of its errors. Every one of them takes
its key as `Authorization: Bearer KEY`. Addresses are those of the vendors' own pages, named beside them; where a vendor
has several regions it is the one whose console the name belongs to, and `base_url` in the file says otherwise.

Local servers need no keys: they are called with a placeholder, or with the keys of a file where one is given.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from gateway.policy.verdict import Row
from gateway.providers import vendors
from gateway.providers.endpoints import CHAT, OPENAI, Endpoint


class Preset(NamedTuple):
    """`base_url` without a trailing slash, up to what stands before `/chat/completions`."""

    name: str
    base_url: str
    rows: tuple[Row, ...] = ()
    needs_keys: bool = True
    endpoints: Mapping[str, Endpoint] = {CHAT: OPENAI}
    quirks: frozenset[str] = frozenset()


PRESETS: tuple[Preset, ...] = (
    # https://api-docs.deepseek.com/
    Preset("deepseek", "https://api.deepseek.com", vendors.DEEPSEEK),
    # https://console.groq.com/docs/openai
    Preset("groq", "https://api.groq.com/openai/v1", vendors.GROQ),
    # https://docs.mistral.ai/api/
    Preset("mistral", "https://api.mistral.ai/v1", vendors.MISTRAL),
    # https://openrouter.ai/docs/quickstart
    Preset("openrouter", "https://openrouter.ai/api/v1", vendors.OPENROUTER),
    # https://docs.x.ai/docs/api-reference
    Preset("xai", "https://api.x.ai/v1", vendors.XAI),
    # https://docs.together.ai/docs/openai-api-compatibility
    Preset("together", "https://api.together.xyz/v1", vendors.TOGETHER),
    # https://docs.fireworks.ai/tools-sdks/openai-compatibility
    Preset("fireworks", "https://api.fireworks.ai/inference/v1", vendors.FIREWORKS),
    # https://inference-docs.cerebras.ai/resources/openai
    Preset("cerebras", "https://api.cerebras.ai/v1", vendors.CEREBRAS),
    # https://docs.api.nvidia.com/nim/reference/llm-apis
    Preset("nvidia", "https://integrate.api.nvidia.com/v1", vendors.NVIDIA),
    # https://docs.perplexity.ai/guides/chat-completions-guide
    Preset("perplexity", "https://api.perplexity.ai", vendors.PERPLEXITY),
    # https://platform.moonshot.ai/docs/guide/start-using-kimi-api; in China https://api.moonshot.cn/v1
    Preset("moonshot", "https://api.moonshot.ai/v1", vendors.MOONSHOT),
    # https://docs.bigmodel.cn/cn/guide/develop/openai/introduction; abroad https://api.z.ai/api/paas/v4
    Preset("zhipu", "https://open.bigmodel.cn/api/paas/v4", vendors.ZHIPU),
    # https://www.alibabacloud.com/help/en/model-studio/compatibility-of-openai-with-dashscope: Beijing; Singapore is
    # https://dashscope-intl.aliyuncs.com/compatible-mode/v1
    Preset("dashscope", "https://dashscope.aliyuncs.com/compatible-mode/v1", vendors.DASHSCOPE),
    # https://docs.siliconflow.cn/en/api-reference/chat-completions/chat-completions; abroad https://api.siliconflow.com/v1
    Preset("siliconflow", "https://api.siliconflow.cn/v1", vendors.SILICONFLOW),
    # https://docs.ollama.com/openai
    Preset("ollama", "http://127.0.0.1:11434/v1", needs_keys=False),
    # https://docs.vllm.ai/en/latest/serving/openai_compatible_server.html; its port is that of this gateway too
    Preset("vllm", "http://127.0.0.1:8000/v1", needs_keys=False),
    # https://github.com/ggml-org/llama.cpp/blob/master/tools/server/README.md
    Preset("llama.cpp", "http://127.0.0.1:8080/v1", vendors.LLAMA_CPP, needs_keys=False),
    # https://lmstudio.ai/docs/developer/openai-compat
    Preset("lm-studio", "http://127.0.0.1:1234/v1", needs_keys=False),
)
