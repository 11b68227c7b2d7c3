"""The types of provider that a configuration may name, as a table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from gateway.config.validate import ProviderFacts
from gateway.providers import echo, openai


@dataclass(frozen=True, slots=True)
class ProviderType:
    """What is common to all providers of a type.

    A key travels as `auth_header: auth_prefix + key`. `probe` is the kind of probes unless configured. `local`: answers
    come from within, nothing is connected to.
    """

    name: str
    base_url: str  # without a trailing slash; "" for local ones
    needs_keys: bool
    auth_header: bytes
    auth_prefix: bytes
    local: bool
    probe: str = "none"


PROVIDER_TYPES: Mapping[str, ProviderType] = MappingProxyType(
    {
        provider.name: provider
        for provider in (
            ProviderType(
                openai.NAME, openai.BASE_URL, True, openai.AUTH_HEADER, openai.AUTH_PREFIX, local=False, probe="models"
            ),
            ProviderType(echo.NAME, "", False, openai.AUTH_HEADER, openai.AUTH_PREFIX, local=True),
        )
    }
)

PROVIDER_FACTS: Mapping[str, ProviderFacts] = MappingProxyType(
    {name: ProviderFacts(provider.base_url, provider.needs_keys) for name, provider in PROVIDER_TYPES.items()}
)
"""What the validation of a configuration needs to know of them."""


def probe_kind(configured: str, type_name: str) -> str:
    """The kind of a provider's probes: as configured, or by its type where that says "auto"."""
    return PROVIDER_TYPES[type_name].probe if configured == "auto" else configured
