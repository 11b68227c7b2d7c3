"""The types of provider that a configuration may name, as a table."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from gateway.config.provider import ProviderConfig
from gateway.config.validate import ProviderFacts
from gateway.policy.error_rules import MEANINGS, compile_rules
from gateway.policy.verdict import Row
from gateway.providers import anthropic, azure, echo, gemini, openai
from gateway.providers.classify import Meanings
from gateway.providers.endpoints import ANTHROPIC, CHAT, GEMINI, OPENAI, RESPONSES, Endpoint, generate_at, messages_at
from gateway.providers.presets import PRESETS
from gateway.quick import dataclass


@dataclass(frozen=True, slots=True)
class ProviderType:
    """What is common to all providers of a type.

    `endpoints`: the dialects it speaks and where, the one that says most first. `rows`: what its errors mean, asked
    before the common rows. `quirks`: names of what its server does otherwise than its dialect says. `probe` is the kind
    of probes unless configured. `lists_models`: whether its list of models has the names that a request may use.
    `local`: answers come from within, nothing is connected to.
    """

    name: str
    base_url: str  # without a trailing slash; "": local, or one must be configured, such as `example`
    endpoints: Mapping[str, Endpoint]
    rows: tuple[Row, ...] = ()
    quirks: frozenset[str] = frozenset()
    needs_keys: bool = True
    lists_models: bool = True
    local: bool = False
    example: str = ""

    @property
    def probe(self) -> str:
        """Keys are probed by listing models, which is free."""
        return "models" if self.needs_keys else "none"


PROVIDER_TYPES: Mapping[str, ProviderType] = MappingProxyType(
    {
        provider.name: provider
        for provider in (
            # Google's OpenAI-compatible address goes with this type, too, and no other vendor's errors look like its.
            ProviderType(
                openai.NAME, openai.BASE_URL, {CHAT: OPENAI, RESPONSES: OPENAI}, rows=openai.ROWS + gemini.ROWS
            ),
            ProviderType(anthropic.NAME, anthropic.BASE_URL, {ANTHROPIC: messages_at("v1")}, rows=anthropic.ROWS),
            ProviderType(
                gemini.NAME,
                gemini.BASE_URL,
                {GEMINI: generate_at("v1beta"), CHAT: Endpoint("v1beta/openai")},
                rows=gemini.ROWS,
                quirks=openai.QUIRKS_ELSEWHERE,  # of its OpenAI-compatible address
            ),
            ProviderType(
                azure.NAME, "", azure.endpoints(""), rows=azure.ROWS, lists_models=False, example=azure.EXAMPLE_URL
            ),
            *(
                ProviderType(
                    preset.name,
                    preset.base_url,
                    preset.endpoints,
                    rows=preset.rows,
                    quirks=preset.quirks,
                    needs_keys=preset.needs_keys,
                    example=preset.example,
                )
                for preset in PRESETS
            ),
            ProviderType(echo.NAME, "", {CHAT: OPENAI, RESPONSES: OPENAI}, needs_keys=False, local=True),
        )
    }
)

PROVIDER_FACTS: Mapping[str, ProviderFacts] = MappingProxyType(
    {
        name: ProviderFacts(
            provider.base_url,
            provider.needs_keys,
            frozenset(MEANINGS),
            provider.example,
            tuple(provider.endpoints),
            frozenset(endpoint.auth_header.decode() for endpoint in provider.endpoints.values()),
            versioned=name == azure.NAME,
        )
        for name, provider in PROVIDER_TYPES.items()
    }
)
"""What the validation of a configuration needs to know of them."""


def probe_kind(configured: str, type_name: str) -> str:
    """The kind of a provider's probes: as configured, or by its type where that says "auto"."""
    return PROVIDER_TYPES[type_name].probe if configured == "auto" else configured


def endpoints_of(provider: ProviderConfig) -> Mapping[str, Endpoint]:
    """The dialects that a configured provider speaks, and where: those of its type, or which of them are configured."""
    endpoints = PROVIDER_TYPES[provider.type].endpoints
    if provider.type == azure.NAME:
        endpoints = azure.endpoints(provider.api_version)
    wanted = provider.dialects or endpoints
    return {dialect: endpoint for dialect, endpoint in endpoints.items() if dialect in wanted}


def quirks_of(provider: ProviderConfig) -> frozenset[str]:
    """What a configured provider's server does otherwise than Chat Completions: `dialects/openai_chat/quirks.py`."""
    if provider.type == openai.NAME and provider.base_url != openai.BASE_URL:
        return openai.QUIRKS_ELSEWHERE
    return PROVIDER_TYPES[provider.type].quirks


def price_vendor(provider: ProviderConfig) -> str:
    """Whose prices in a price list are a configured provider's; "": nobody's.

    What is configured, else its type's, wherever it is: who calls a server of his own by a vendor's type and its models
    by the vendor's names has that vendor behind it, as a rule.
    """
    return "" if provider.prices == "none" else provider.prices or provider.type


def meanings_of(provider: ProviderConfig) -> Meanings:
    """What a configured provider's errors mean: its operator's rules, compiled, and its type's rows."""
    return Meanings(compile_rules(provider.error_parsing), PROVIDER_TYPES[provider.type].rows)
