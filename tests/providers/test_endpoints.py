"""Where a dialect's paths lead, from base URLs as people write them."""

from __future__ import annotations

import pytest

from gateway.providers import PROVIDER_TYPES, azure
from gateway.providers.endpoints import ANTHROPIC, CHAT, GEMINI, RESPONSES, Endpoint, dialect_at, join_query, resolve


@pytest.mark.parametrize(
    ("base_path", "root", "path"),
    [
        ("/v1", "", "/v1"),
        ("", "", ""),
        ("", "v1", "/v1"),
        ("/v1", "v1", "/v1"),
        ("/proxy", "v1", "/proxy/v1"),
        ("/v1beta", "v1beta/openai", "/v1beta/openai"),
        ("/openai", "openai/v1", "/openai/v1"),
        ("/openai/v1", "openai/v1", "/openai/v1"),
        ("/v1", "../anthropic/v1", "/anthropic/v1"),
        ("", "../anthropic/v1", "/anthropic/v1"),
        ("/api/paas/v4", "../../anthropic/v1", "/api/anthropic/v1"),
        ("/corp/api/paas/v4", "../../anthropic/v1", "/corp/api/anthropic/v1"),
        ("/v1", "../../..", ""),
    ],
)
def test_a_root_leads_on_from_the_base_url_and_says_nothing_twice(base_path: str, root: str, path: str) -> None:
    assert resolve(base_path, root) == path


@pytest.mark.parametrize(
    ("given", "fixed", "query"),
    [
        ("", "", ""),
        ("a=1", "", "a=1"),
        ("", "api-version=2", "api-version=2"),
        ("a=1&api-version=1&b", "api-version=2", "a=1&b&api-version=2"),
    ],
)
def test_the_providers_part_of_a_query_replaces_the_clients(given: str, fixed: str, query: str) -> None:
    assert join_query(given, fixed) == query


def test_headers_that_a_call_brings_along_stay_as_they_are() -> None:
    endpoint = PROVIDER_TYPES["anthropic"].endpoints[ANTHROPIC]
    assert endpoint.missing([(b"accept", b"*/*")]) == [(b"anthropic-version", b"2023-06-01")]
    assert endpoint.missing([(b"anthropic-version", b"2099-01-01")]) == []
    assert Endpoint().missing([]) == []


@pytest.mark.parametrize(
    ("api_version", "dialect", "path", "model", "place"),
    [
        ("", CHAT, "/chat/completions", "gpt", ("/openai/v1/chat/completions", "")),
        ("", RESPONSES, "/responses", "gpt", ("/openai/v1/responses", "")),
        ("preview", CHAT, "/chat/completions", "gpt", ("/openai/v1/chat/completions", "api-version=preview")),
        (
            "2024-10-21", CHAT, "/chat/completions", "my gpt/4",
            ("/openai/deployments/my%20gpt%2F4/chat/completions", "api-version=2024-10-21"),
        ),
        ("2024-10-21", CHAT, "/embeddings", "e", ("/openai/deployments/e/embeddings", "api-version=2024-10-21")),
        ("2025-04-01-preview", RESPONSES, "/responses", "gpt", ("/openai/responses", "api-version=2025-04-01-preview")),
        ("2024-10-21", CHAT, "/files", "gpt", ("/openai/files", "api-version=2024-10-21")),
    ],
)  # fmt: skip
def test_azures_apis_with_and_without_a_date(
    api_version: str, dialect: str, path: str, model: str, place: tuple[str, str]
) -> None:
    endpoint = azure.endpoints(api_version)[dialect].below("")
    assert (endpoint.auth_header, endpoint.auth_prefix) == (b"api-key", b"")
    assert endpoint.place(path, model) == place


@pytest.mark.parametrize(
    ("endpoint", "base_path", "page", "place"),
    [
        (Endpoint(), "/v1", "", ("/v1/models", "")),
        (Endpoint("v1"), "", "limit=1000", ("/v1/models", "limit=1000")),
        (Endpoint(models="../catalog/models"), "/inference", "", ("/catalog/models", "")),
        (Endpoint(models="../../v1/models?page_size=9"), "/compatibility/v1", "", ("/v1/models", "page_size=9")),
        (azure.endpoints("")[CHAT], "", "", ("/openai/v1/models", "")),
        (azure.endpoints("2024-10-21")[CHAT], "", "", ("/openai/models", "api-version=2024-10-21")),
    ],
)
def test_where_models_are_listed(endpoint: Endpoint, base_path: str, page: str, place: tuple[str, str]) -> None:
    assert endpoint.below(base_path).listing(page) == place


ROUTER = {CHAT: Endpoint("/api/v1"), ANTHROPIC: Endpoint("/api/v1")}
GOOGLE = {GEMINI: Endpoint("/v1beta"), CHAT: Endpoint("/v1beta/openai")}
VENDOR = {CHAT: Endpoint("/v1"), ANTHROPIC: Endpoint("/anthropic/v1")}


@pytest.mark.parametrize(
    ("endpoints", "path", "dialect"),
    [
        (ROUTER, "/api/v1/messages", ANTHROPIC),
        (ROUTER, "/api/v1/messages/count_tokens", ANTHROPIC),
        (ROUTER, "/api/v1/chat/completions", CHAT),
        (ROUTER, "/api/v1/key", CHAT),
        (GOOGLE, "/v1beta/models/g:generateContent", GEMINI),
        (GOOGLE, "/v1beta/cachedContents", GEMINI),
        (GOOGLE, "/upload/v1beta/files", GEMINI),
        (GOOGLE, "/v1beta/openai/embeddings", CHAT),
        (VENDOR, "/anthropic/v1/messages/batches", ANTHROPIC),
        (VENDOR, "/anthropic/v1/models", ANTHROPIC),
        (VENDOR, "/elsewhere", CHAT),
    ],
)
def test_a_path_at_the_origin_has_a_dialect(endpoints: dict[str, Endpoint], path: str, dialect: str) -> None:
    assert dialect_at(path, endpoints) == dialect
