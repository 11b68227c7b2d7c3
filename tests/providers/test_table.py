"""The table of provider types."""

from __future__ import annotations

from gateway.providers import PROVIDER_FACTS, PROVIDER_TYPES


def test_the_table_says_where_a_provider_is_and_how_its_key_travels() -> None:
    openai, echo = PROVIDER_TYPES["openai"], PROVIDER_TYPES["echo"]
    assert (openai.base_url, openai.auth_header, openai.auth_prefix) == (
        "https://api.openai.com/v1", b"authorization", b"Bearer ",
    )  # fmt: skip
    assert (openai.needs_keys, openai.local) == (True, False)
    assert (echo.base_url, echo.needs_keys, echo.local) == ("", False, True)


def test_configuration_knows_the_same_types() -> None:
    assert {name: (facts.base_url, facts.needs_keys) for name, facts in PROVIDER_FACTS.items()} == {
        name: (provider.base_url, provider.needs_keys) for name, provider in PROVIDER_TYPES.items()
    }
