"""Provider types for vendors, routers and local servers: one entry each.

`type = "groq"` is `type = "openai"` with the vendor's address, the dialects it speaks beside Chat Completions, the
meaning of its errors and the quirks of its server. Addresses are those of the vendors' own pages, named beside them;
where a vendor has several regions it is the one whose console the name belongs to, and `base_url` in the file says
otherwise. The other dialects are found relative to it.

A dialect stands here only where the vendor's pages offer it for all models: a request in it goes there untranslated.
What is for some models only (Responses with DeepSeek, DashScope, StepFun, Cloudflare, Z.ai's coding plan; Messages with
Novita and Hunyuan) is left out, and served through Chat Completions.

Local servers need no keys: they are called with a placeholder, or with the keys of a file where one is given.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, NamedTuple

from gateway.policy.verdict import Row
from gateway.providers import vendors
from gateway.providers.endpoints import (
    ANTHROPIC,
    CHAT,
    GEMINI,
    OPENAI,
    RESPONSES,
    Endpoint,
    generate_at,
    messages_at,
    messages_by_bearer,
)
from gateway.providers.openai import QUIRKS_ELSEWHERE


def _speaking(*, responses: bool = False, messages: Endpoint | None = None) -> Mapping[str, Endpoint]:
    """Chat Completions at the base URL, with Responses beside it, and Anthropic's Messages elsewhere."""
    endpoints = {CHAT: OPENAI}
    if responses:
        endpoints[RESPONSES] = OPENAI
    if messages is not None:
        endpoints[ANTHROPIC] = messages
    return MappingProxyType(endpoints)


CHAT_ALONE: Final = _speaking()
CHAT_AND_RESPONSES: Final = _speaking(responses=True)
ALL_BESIDE: Final = _speaking(responses=True, messages=messages_by_bearer(""))
"""All three below the same version, as most routers and local servers have them."""

DEEPSEEKS: Final = QUIRKS_ELSEWHERE | {"max_tokens", "no_json_schema", "reasoning_content_back", "thinking_switch"}
MISTRALS: Final = QUIRKS_ELSEWHERE | {
    "document_url",
    "max_tokens",
    "no_openai_fields",
    "no_stream_options",
    "random_seed",
    "short_ids",
    "thinking_parts",
}
TAKING_HINTS: Final = QUIRKS_ELSEWHERE - {"no_openai_hints"}
OPENROUTERS: Final = TAKING_HINTS | {
    "cache_control",
    "file_url",
    "message_images",
    "reasoning_back",
    "reasoning_object",
    "top_k",
}
MOONSHOTS: Final = QUIRKS_ELSEWHERE | {"no_reasoning_effort", "reasoning_content_back", "thinking_switch"}
ZHIPUS: Final = QUIRKS_ELSEWHERE | {"max_tokens", "no_json_schema", "thinking_switch"}
TAKING_TOP_K: Final = QUIRKS_ELSEWHERE | {"top_k"}


class Preset(NamedTuple):
    """`base_url` without a trailing slash, up to what stands before `/chat/completions`. "": it has none that would do
    for all, and one such as `example` is configured. `quirks` are words of `dialects/openai_chat/quirks.py`."""

    name: str
    base_url: str
    rows: tuple[Row, ...] = ()
    needs_keys: bool = True
    endpoints: Mapping[str, Endpoint] = CHAT_ALONE
    quirks: frozenset[str] = QUIRKS_ELSEWHERE
    example: str = ""


VENDORS: tuple[Preset, ...] = (
    # https://api-docs.deepseek.com/guides/anthropic_api: "x-api-key: fully supported"
    Preset(
        "deepseek",
        "https://api.deepseek.com",
        vendors.DEEPSEEK,
        endpoints=_speaking(messages=messages_at("../anthropic/v1")),
        quirks=DEEPSEEKS,
    ),
    # https://console.groq.com/docs/openai, https://console.groq.com/docs/responses-api
    Preset(
        "groq",
        "https://api.groq.com/openai/v1",
        vendors.GROQ,
        endpoints=CHAT_AND_RESPONSES,
        quirks=QUIRKS_ELSEWHERE | {"no_include"},
    ),
    # https://docs.mistral.ai/api/
    Preset("mistral", "https://api.mistral.ai/v1", vendors.MISTRAL, quirks=MISTRALS),
    # https://docs.x.ai/docs/api-reference; its Messages are deprecated
    Preset("xai", "https://api.x.ai/v1", vendors.XAI, endpoints=CHAT_AND_RESPONSES),
    # https://docs.together.ai/docs/openai-api-compatibility
    Preset("together", "https://api.together.xyz/v1", vendors.TOGETHER, quirks=TAKING_TOP_K),
    # https://docs.fireworks.ai/tools-sdks/openai-compatibility, https://docs.fireworks.ai/guides/response-api,
    # https://docs.fireworks.ai/tools-sdks/anthropic-compatibility ("Authorization: Bearer")
    Preset(
        "fireworks",
        "https://api.fireworks.ai/inference/v1",
        vendors.FIREWORKS,
        endpoints=ALL_BESIDE,
        quirks=TAKING_TOP_K,
    ),
    # https://inference-docs.cerebras.ai/resources/openai
    Preset("cerebras", "https://api.cerebras.ai/v1", vendors.CEREBRAS),
    # https://docs.api.nvidia.com/nim/reference/llm-apis
    Preset("nvidia", "https://integrate.api.nvidia.com/v1", vendors.NVIDIA),
    # https://docs.perplexity.ai/guides/chat-completions-guide
    Preset(
        "perplexity", "https://api.perplexity.ai", vendors.PERPLEXITY, quirks=QUIRKS_ELSEWHERE | {"no_stream_options"}
    ),
    # https://platform.kimi.ai/docs/api/overview; in China https://api.moonshot.cn/v1
    Preset(
        "moonshot",
        "https://api.moonshot.ai/v1",
        vendors.MOONSHOT,
        endpoints=_speaking(responses=True, messages=messages_by_bearer("../anthropic/v1")),
        quirks=MOONSHOTS,
    ),
    # https://docs.bigmodel.cn/cn/guide/develop/openai/introduction, https://docs.z.ai/devpack/tool/claude; abroad
    # https://api.z.ai/api/paas/v4
    Preset(
        "zhipu",
        "https://open.bigmodel.cn/api/paas/v4",
        vendors.ZHIPU,
        endpoints=_speaking(messages=messages_by_bearer("../../anthropic/v1")),
        quirks=ZHIPUS,
    ),
    # https://www.alibabacloud.com/help/en/model-studio/compatibility-of-openai-with-dashscope,
    # https://www.alibabacloud.com/help/en/model-studio/anthropic-api-messages: Beijing; Singapore is
    # https://dashscope-intl.aliyuncs.com/compatible-mode/v1
    Preset(
        "dashscope",
        "https://dashscope.aliyuncs.com/compatible-mode/v1",
        vendors.DASHSCOPE,
        endpoints=_speaking(messages=messages_by_bearer("../../apps/anthropic/v1")),
        quirks=TAKING_TOP_K,
    ),
    # https://docs.siliconflow.cn/en/api-reference/chat-completions/chat-completions,
    # https://docs.siliconflow.cn/cn/docs/api/messages-post; abroad https://api.siliconflow.com/v1
    Preset(
        "siliconflow",
        "https://api.siliconflow.cn/v1",
        vendors.SILICONFLOW,
        endpoints=_speaking(messages=messages_by_bearer("")),
    ),
    # https://platform.minimax.io/docs/api-reference/text-openai-api and text-anthropic-api; in China
    # https://api.minimaxi.com/v1
    Preset(
        "minimax",
        "https://api.minimax.io/v1",
        endpoints=_speaking(responses=True, messages=messages_by_bearer("../anthropic/v1")),
    ),
    # https://platform.stepfun.com/docs/zh/api-reference/chat/messages-create; abroad https://api.stepfun.ai/v1
    Preset("stepfun", "https://api.stepfun.com/v1", endpoints=_speaking(messages=messages_by_bearer(""))),
    # https://cloud.tencent.com/document/product/1729/111007
    Preset("hunyuan", "https://api.hunyuan.cloud.tencent.com/v1"),
    # https://cloud.baidu.com/doc/qianfan/s/Hmh4suq26
    Preset("qianfan", "https://qianfan.baidubce.com/v2"),
    # https://www.volcengine.com/docs/82379/1330626; abroad https://ark.ap-southeast.bytepluses.com/api/v3
    Preset("volcengine", "https://ark.cn-beijing.volces.com/api/v3"),
    # https://platform.baichuan-ai.com/docs/api
    Preset("baichuan", "https://api.baichuan-ai.com/v1"),
    # https://docs.cohere.com/docs/compatibility-api; models are listed by its own API alone,
    # https://docs.cohere.com/reference/list-models
    Preset(
        "cohere",
        "https://api.cohere.ai/compatibility/v1",
        endpoints={CHAT: Endpoint(models="../../v1/models?page_size=1000")},
    ),
    # https://docs.ai21.com/reference/jamba-1-6-api-ref
    Preset("ai21", "https://api.ai21.com/studio/v1"),
    # https://console.upstage.ai/api/chat
    Preset("upstage", "https://api.upstage.ai/v1"),
    # https://docs.sambanova.ai/cloud/docs/capabilities/openai-compatibility
    Preset("sambanova", "https://api.sambanova.ai/v1"),
    # https://docs.deepinfra.com/api-reference/chat-completions/openai-chat-completions and anthropic-messages
    Preset(
        "deepinfra",
        "https://api.deepinfra.com/v1/openai",
        endpoints=_speaking(messages=messages_by_bearer("../../anthropic/v1")),
    ),
    # https://novita.ai/docs/api-reference/model-apis-llm-create-chat-completion
    Preset("novita", "https://api.novita.ai/openai/v1"),
    # https://docs.hyperbolic.xyz/docs/rest-api
    Preset("hyperbolic", "https://api.hyperbolic.xyz/v1"),
    # https://docs.tokenfactory.nebius.com/api-reference/inference/create-chat-completion
    Preset("nebius", "https://api.tokenfactory.nebius.com/v1"),
    # https://featherless.ai/docs/api-reference-chat-completions
    Preset("featherless", "https://api.featherless.ai/v1"),
    # https://docs.inference.net/
    Preset("inference-net", "https://api.inference.net/v1"),
    # https://docs.venice.ai/api-reference/api-spec
    Preset("venice", "https://api.venice.ai/api/v1"),
    # https://chutes.ai/docs
    Preset("chutes", "https://llm.chutes.ai/v1"),
    # https://docs.github.com/en/rest/models/inference, https://docs.github.com/en/rest/models/catalog
    Preset(
        "github-models",
        "https://models.github.ai/inference",
        endpoints={CHAT: Endpoint(models="../catalog/models")},
    ),
    # https://developers.cloudflare.com/workers-ai/configuration/open-ai-compatibility; models:
    # https://developers.cloudflare.com/api/resources/ai/subresources/models/methods/list/
    Preset(
        "cloudflare",
        "",
        endpoints={CHAT: Endpoint(models="../models/search")},
        example="https://api.cloudflare.com/client/v4/accounts/ACCOUNT/ai/v1",
    ),
    # https://docs.databricks.com/aws/en/machine-learning/foundation-model-apis/api-reference; models:
    # https://docs.databricks.com/api/workspace/servingendpoints/list
    Preset(
        "databricks",
        "",
        endpoints={CHAT: Endpoint(models="../api/2.0/serving-endpoints")},
        example="https://WORKSPACE.cloud.databricks.com/serving-endpoints",
    ),
)

ROUTERS: tuple[Preset, ...] = (
    # https://openrouter.ai/docs/api-reference/overview, https://openrouter.ai/docs/guides/guides/claude-code-integration
    # (ANTHROPIC_AUTH_TOKEN, which is sent as Bearer)
    Preset(
        "openrouter",
        "https://openrouter.ai/api/v1",
        vendors.OPENROUTER,
        endpoints=ALL_BESIDE,
        quirks=OPENROUTERS,
    ),
    # https://huggingface.co/docs/inference-providers, https://huggingface.co/docs/inference-providers/guides/responses-api
    Preset("huggingface", "https://router.huggingface.co/v1", endpoints=CHAT_AND_RESPONSES),
    # https://vercel.com/docs/ai-gateway/sdks-and-apis: openai-chat-completions, responses, anthropic-messages-api
    Preset(
        "vercel",
        "https://ai-gateway.vercel.sh/v1",
        endpoints=ALL_BESIDE,
        quirks=TAKING_HINTS | {"reasoning_object"},
    ),
    # https://docs.requesty.ai/quickstart
    Preset("requesty", "https://router.requesty.ai/v1"),
    # https://docs.litellm.ai/docs/response_api, https://docs.litellm.ai/docs/anthropic_unified; with a master key it
    # wants keys
    Preset("litellm", "http://127.0.0.1:4000/v1", needs_keys=False, endpoints=ALL_BESIDE),
    # Another gateway like this one: its API tokens are keys here.
    Preset(
        "llmgateway",
        "",
        needs_keys=False,
        endpoints={**ALL_BESIDE, GEMINI: generate_at("../v1beta")},
        quirks=frozenset(),
        example="https://HOST/v1",
    ),
)

LOCAL_SERVERS: tuple[Preset, ...] = (
    # https://docs.ollama.com/api/openai-compatibility and anthropic-compatibility; in its cloud
    # https://ollama.com/v1, with keys
    Preset("ollama", "http://127.0.0.1:11434/v1", needs_keys=False, endpoints=ALL_BESIDE),
    # https://docs.vllm.ai/en/latest/serving/openai_compatible_server.html; its port is that of this gateway too
    Preset("vllm", "http://127.0.0.1:8000/v1", needs_keys=False, endpoints=ALL_BESIDE, quirks=TAKING_TOP_K),
    # https://github.com/ggml-org/llama.cpp/blob/master/tools/server/README.md
    Preset("llama.cpp", "http://127.0.0.1:8080/v1", vendors.LLAMA_CPP, needs_keys=False, endpoints=ALL_BESIDE),
    # https://lmstudio.ai/docs/developer/openai-compat, https://lmstudio.ai/docs/developer/anthropic-compat
    Preset("lm-studio", "http://127.0.0.1:1234/v1", needs_keys=False, endpoints=ALL_BESIDE),
    # https://docs.sglang.io/docs/basic_usage/openai_api_completions and anthropic_api
    Preset(
        "sglang",
        "http://127.0.0.1:30000/v1",
        needs_keys=False,
        endpoints=_speaking(messages=messages_by_bearer("")),
        quirks=TAKING_TOP_K,
    ),
    # https://github.com/oobabooga/text-generation-webui/tree/main/modules/api
    Preset(
        "text-generation-webui",
        "http://127.0.0.1:5000/v1",
        needs_keys=False,
        endpoints=_speaking(messages=messages_by_bearer("")),
        quirks=TAKING_TOP_K,
    ),
    # https://github.com/LostRuins/koboldcpp/wiki
    Preset("koboldcpp", "http://127.0.0.1:5001/v1", needs_keys=False),
    # https://huggingface.co/docs/text-generation-inference/messages_api
    Preset("tgi", "http://127.0.0.1:3000/v1", needs_keys=False),
    # https://localai.io/docs/features/text-generation/
    Preset("localai", "http://127.0.0.1:8080/v1", needs_keys=False),
    # https://jan.ai/docs/desktop/api-server
    Preset("jan", "http://127.0.0.1:1337/v1", needs_keys=False),
)

PRESETS: tuple[Preset, ...] = (*VENDORS, *ROUTERS, *LOCAL_SERVERS)
