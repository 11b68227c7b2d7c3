"""The table of provider types."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.config.create import create_config
from gateway.config.load import parse_config
from gateway.config.model import ErrorParsingConfig, ErrorRule, ProviderConfig
from gateway.errors import ConfigError
from gateway.providers import PROVIDER_FACTS, PROVIDER_TYPES, ProviderType, meanings_of
from gateway.providers.classify import Meanings
from gateway.providers.endpoints import DIALECTS
from gateway.providers.presets import PRESETS, Preset


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
    assert preset.needs_keys is not here, "what runs on this machine needs no keys"
    assert here or preset.base_url.startswith("https://") or not preset.base_url, "keys travel encrypted"


@pytest.mark.parametrize("kind", PROVIDER_TYPES.values(), ids=lambda kind: kind.name)
def test_every_type_speaks_dialects_that_there_are(kind: ProviderType) -> None:
    assert kind.endpoints and set(kind.endpoints) <= set(DIALECTS)
    for endpoint in kind.endpoints.values():
        assert endpoint.auth_header == endpoint.auth_header.lower(), "names of headers are compared in lower case"
        assert not endpoint.root.startswith("/") and not endpoint.root.endswith("/"), "a root is relative"
        assert all(name == name.lower() for name, _ in endpoint.headers)


def test_every_preset_has_a_name_and_an_address_of_its_own() -> None:
    assert len({preset.name for preset in PRESETS}) == len({preset.base_url for preset in PRESETS}) == len(PRESETS)
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
