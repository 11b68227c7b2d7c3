"""The types of provider that a configuration may name, as a table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from gateway.config.model import ProviderConfig
from gateway.config.validate import ProviderFacts
from gateway.policy.error_rules import MEANINGS, compile_rules
from gateway.policy.verdict import Row
from gateway.providers import echo, gemini, openai
from gateway.providers.classify import Meanings
from gateway.providers.presets import PRESETS


@dataclass(frozen=True, slots=True)
class ProviderType:
    """What is common to all providers of a type.

    A key travels as `auth_header: auth_prefix + key`. `rows`: what its errors mean, asked before the common rows.
    `probe` is the kind of probes unless configured. `local`: answers come from within, nothing is connected to.
    """

    name: str
    base_url: str  # without a trailing slash; "" for local ones
    needs_keys: bool
    auth_header: bytes
    auth_prefix: bytes
    rows: tuple[Row, ...] = ()
    probe: str = "none"
    local: bool = False


def _type(
    name: str, base_url: str, rows: tuple[Row, ...] = (), needs_keys: bool = True, local: bool = False
) -> ProviderType:
    """A type that speaks OpenAI's API. Keys are probed by listing models, which is free."""
    probe = "models" if needs_keys else "none"
    return ProviderType(name, base_url, needs_keys, openai.AUTH_HEADER, openai.AUTH_PREFIX, rows, probe, local)


PROVIDER_TYPES: Mapping[str, ProviderType] = MappingProxyType(
    {
        provider.name: provider
        for provider in (
            # Google's OpenAI-compatible address goes with this type, and no other vendor's errors look like Google's.
            _type(openai.NAME, openai.BASE_URL, openai.ROWS + gemini.ROWS),
            *(_type(*preset) for preset in PRESETS),
            _type(echo.NAME, "", needs_keys=False, local=True),
        )
    }
)

PROVIDER_FACTS: Mapping[str, ProviderFacts] = MappingProxyType(
    {
        name: ProviderFacts(provider.base_url, provider.needs_keys, frozenset(MEANINGS))
        for name, provider in PROVIDER_TYPES.items()
    }
)
"""What the validation of a configuration needs to know of them."""


def probe_kind(configured: str, type_name: str) -> str:
    """The kind of a provider's probes: as configured, or by its type where that says "auto"."""
    return PROVIDER_TYPES[type_name].probe if configured == "auto" else configured


def meanings_of(provider: ProviderConfig) -> Meanings:
    """What a configured provider's errors mean: its operator's rules, compiled, and its type's rows."""
    return Meanings(compile_rules(provider.error_parsing), PROVIDER_TYPES[provider.type].rows)
