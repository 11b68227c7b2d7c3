"""The table of provider types."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from gateway.config.create import create_config
from gateway.config.load import parse_config
from gateway.config.provider import ErrorParsingConfig, ErrorRule, ProviderConfig
from gateway.errors import ConfigError
from gateway.providers import PROVIDER_FACTS, PROVIDER_TYPES, ProviderType, endpoints_of, meanings_of, quirks_of
from gateway.providers.classify import Meanings
from gateway.providers.endpoints import DIALECTS
from gateway.providers.presets import PRESETS, ROUTERS, VENDORS, Preset


def test_the_table_says_where_a_provider_is_and_how_its_key_travels() -> None:
    openai, echo = PROVIDER_TYPES["openai"], PROVIDER_TYPES["echo"]
    chat = openai.endpoints["openai_chat"]
    assert (openai.base_url, chat.root, chat.auth_header, chat.auth_prefix) == (
        "https://api.openai.com/v1", "", b"authorization", b"Bearer ",
    )  # fmt: skip
    assert (openai.needs_keys, openai.local) == (True, False)
    assert (echo.base_url, echo.needs_keys, echo.local) == ("", False, True)


@pytest.mark.parametrize("preset", PRESETS, ids=lambda preset: preset.name)
def test_a_preset_is_a_type_at_an_address_of_its_own(preset: Preset) -> None:
    kind = PROVIDER_TYPES[preset.name]
    assert (kind.rows, kind.endpoints, kind.quirks, kind.local) == (
        preset.rows, preset.endpoints, preset.quirks, False,
    )  # fmt: skip
    here = preset.base_url.startswith("http://127.0.0.1:")
    assert preset.needs_keys is not here or preset.name == "llmgateway", "what runs on this machine needs no keys"
    assert here or (preset.base_url or preset.example).startswith("https://"), "keys travel encrypted"
    assert bool(preset.base_url) is not bool(preset.example)


@pytest.mark.parametrize("kind", PROVIDER_TYPES.values(), ids=lambda kind: kind.name)
def test_every_type_speaks_dialects_that_there_are(kind: ProviderType) -> None:
    assert kind.endpoints and set(kind.endpoints) <= set(DIALECTS)
    for endpoint in kind.endpoints.values():
        assert endpoint.auth_header == endpoint.auth_header.lower(), "names of headers are compared in lower case"
        assert not endpoint.root.startswith("/") and not endpoint.root.endswith("/"), "a root is relative"
        assert all(name == name.lower() for name, _ in endpoint.headers)


def test_every_preset_has_a_name_and_every_vendor_an_address_of_its_own() -> None:
    assert len({preset.name for preset in PRESETS}) == len(PRESETS)
    addresses = [preset.base_url or preset.example for preset in (*VENDORS, *ROUTERS)]
    assert len(set(addresses)) == len(addresses)
    assert len(PROVIDER_TYPES) == len(PRESETS) + 5


@pytest.mark.parametrize("kind", [name for name, kind in PROVIDER_TYPES.items() if not kind.example and name != "vllm"])
def test_a_provider_of_every_type_is_created_and_loads(kind: str) -> None:
    text = create_config(None, [f"{kind}:main"], False, PROVIDER_FACTS)
    (provider,) = parse_config(text, Path("/etc/config.toml"), {}, PROVIDER_FACTS).providers.values()
    assert (provider.type, provider.base_url) == (kind, PROVIDER_TYPES[kind].base_url)
    assert bool(provider.keys) is PROVIDER_TYPES[kind].needs_keys
    assert meanings_of(provider) == Meanings((), PROVIDER_TYPES[kind].rows)


def test_vllms_own_port_is_not_taken_for_it_while_it_is_ours() -> None:
    text = create_config(None, ["vllm:main"], False, PROVIDER_FACTS)
    with pytest.raises(ConfigError, match="leads back to this gateway"):
        parse_config(text, Path("/etc/config.toml"), {}, PROVIDER_FACTS)
    moved = f'{text}[server]\nlisten = ["127.0.0.1:9000"]\n'
    assert parse_config(moved, Path("/etc/config.toml"), {}, PROVIDER_FACTS).providers["main"].type == "vllm"


def test_what_a_providers_errors_mean_is_its_rules_and_its_types_rows() -> None:
    rule = ErrorRule(match_pattern="x", map_to="no_quota")
    meanings = meanings_of(ProviderConfig(type="groq", error_parsing=ErrorParsingConfig(rules=(rule,))))
    assert ([each.number for each in meanings.rules], meanings.rows) == ([1], PROVIDER_TYPES["groq"].rows)


def test_configuration_knows_the_same_types() -> None:
    assert {name: (facts.base_url, facts.needs_keys) for name, facts in PROVIDER_FACTS.items()} == {
        name: (provider.base_url, provider.needs_keys) for name, provider in PROVIDER_TYPES.items()
    }


@pytest.mark.parametrize("kind", [kind for kind in PROVIDER_TYPES.values() if kind.example], ids=lambda kind: kind.name)
def test_a_type_without_an_address_asks_for_one_such_as(kind: ProviderType) -> None:
    text = create_config(None, [f"{kind.name}:main"], False, PROVIDER_FACTS)
    assert f'base_url = ""  # to be filled in: {kind.example}, say' in text
    with pytest.raises(ConfigError, match=re.escape(f'base_url: is missing (write "{kind.example}", say)')):
        parse_config(text, Path("/etc/config.toml"), {}, PROVIDER_FACTS)
    filled = text.replace('base_url = ""', f'base_url = "{kind.example}"')
    assert parse_config(filled, Path("/etc/config.toml"), {}, PROVIDER_FACTS).providers["main"].type == kind.name


VERSIONED = '[providers.main]\ntype = "{kind}"\nbase_url = "https://a.example"\nkeys = "k"\n{setting}\n'


@pytest.mark.parametrize(
    ("kind", "setting", "what"),
    [
        ("openai", 'api_version = "2024-10-21"', 'api_version: is not for the type "openai"'),
        ("azure", 'api_version = "2024-10"', "api_version: is no version"),
        ("mistral", 'dialects = ["openai_responses"]', '"openai_responses" is no dialect of the type "mistral"'),
        ("gemini", 'dialects = ["gemni"]', 'did you mean "gemini"?'),
        ("anthropic", 'headers = { "X-Api-Key" = "k" }', "is a header that the gateway sets itself (keys belong"),
        ("azure", 'headers = { "api-key" = "k" }', "is a header that the gateway sets itself (keys belong"),
        ("openai", 'headers = { "Authorization" = "k" }', "is a header that the gateway sets itself (keys belong"),
    ],
)
def test_settings_must_suit_the_type(kind: str, setting: str, what: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(what)):
        parse_config(VERSIONED.format(kind=kind, setting=setting), Path("/etc/config.toml"), {}, PROVIDER_FACTS)


@pytest.mark.parametrize(
    ("kind", "setting", "dialects"),
    [
        ("openai", 'headers = { "api-key" = "for a proxy of mine" }', ["openai_chat", "openai_responses"]),
        ("openai", 'dialects = ["openai_chat"]', ["openai_chat"]),
        ("gemini", 'dialects = "openai_chat"', ["openai_chat"]),
        ("gemini", "", ["gemini", "openai_chat"]),
        ("azure", 'api_version = "2025-04-01-preview"\ndialects = ["openai_responses"]', ["openai_responses"]),
        ("azure", 'api_version = "preview"', ["openai_chat", "openai_responses"]),
    ],
)
def test_a_provider_speaks_its_types_dialects_or_those_configured(kind: str, setting: str, dialects: list[str]) -> None:
    text = VERSIONED.format(kind=kind, setting=setting)
    (provider,) = parse_config(text, Path("/etc/config.toml"), {}, PROVIDER_FACTS).providers.values()
    assert list(endpoints_of(provider)) == dialects


def test_a_server_that_is_not_openais_is_asked_with_care() -> None:
    here = ProviderConfig(type="openai", base_url="https://api.openai.com/v1")
    there = ProviderConfig(type="openai", base_url="https://llm.example.org/v1")
    assert not quirks_of(here) and quirks_of(there) == frozenset(
        {"no_custom_tools", "no_developer_role", "no_openai_hints", "string_content", "system_first"}
    )
    assert "short_ids" in quirks_of(ProviderConfig(type="mistral", base_url="https://api.mistral.ai/v1"))


def test_openais_hints_go_to_openai_and_to_routers_that_pass_them_on() -> None:
    taking = {name for name, kind in PROVIDER_TYPES.items() if "no_openai_hints" not in kind.quirks}
    assert taking == {"openai", "azure", "openrouter", "vercel", "llmgateway", "anthropic", "echo"}
