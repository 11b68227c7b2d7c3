"""Lists of models in every shape, and requests that cost next to nothing."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.providers.endpoints import ANTHROPIC, CHAT, DIALECTS, GEMINI, MAIN_PATHS, RESPONSES
from gateway.providers.questions import ListedModel, next_page, read_models, tiny_request

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=10),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["data", "models", "id", "name", "created", "created_at"]), inner, max_size=4)
    ),
    max_leaves=12,
)


@pytest.mark.parametrize(
    ("answer", "models"),
    [
        ({"data": [{"id": "a", "created": 5}, {"id": 7}, "b", {}, {"id": ""}]}, [("a", 5)]),
        ([{"id": "a", "created": "today"}], [("a", 0)]),
        ({"data": []}, []),
        ({"data": [{"type": "model", "id": "c", "created_at": "2025-02-19T00:00:00Z"}]}, [("c", 1739923200)]),
        ({"data": [{"id": "c", "created_at": "0001-01-01T00:00:00Z"}, {"id": "d", "created_at": "?"}]},
         [("c", 0), ("d", 0)]),
        ({"models": [{"name": "models/gemini-2.5-pro", "displayName": "x"}]}, [("gemini-2.5-pro", 0)]),
        ({"models": [{"name": "command-r"}]}, [("command-r", 0)]),
        ({"endpoints": [{"name": "databricks-claude-sonnet-4-5"}]}, [("databricks-claude-sonnet-4-5", 0)]),
        ({"result": [{"id": "7f9b", "name": "@cf/meta/llama"}]}, [("@cf/meta/llama", 0)]),
        ({"models": None}, None),
        ({"data": None, "models": []}, []),
        ("a", None),
        (None, None),
    ],
)  # fmt: skip
def test_a_list_is_read_with_care(answer: object, models: list[tuple[str, int]] | None) -> None:
    read = read_models(answer)
    assert read == (None if models is None else tuple(ListedModel(*each) for each in models))


@given(JSON)
def test_no_list_is_too_strange(answer: object) -> None:
    for dialect in DIALECTS:
        assert isinstance(next_page(dialect, answer), str)
    models = read_models(answer)
    assert models is None or all(model.id and model.created.bit_length() < 64 for model in models if model.created >= 0)


@pytest.mark.parametrize(
    ("dialect", "answer", "query"),
    [
        (CHAT, {"data": [], "has_more": True, "last_id": "a"}, ""),
        (ANTHROPIC, {"data": [], "has_more": True, "last_id": "a b"}, "limit=1000&after_id=a%20b"),
        (ANTHROPIC, {"data": [], "has_more": False, "last_id": "a"}, ""),
        (ANTHROPIC, {"data": [], "has_more": True, "last_id": None}, ""),
        (GEMINI, {"models": [], "nextPageToken": "x=/"}, "pageSize=1000&pageToken=x%3D%2F"),
        (GEMINI, {"models": []}, ""),
        (GEMINI, [], ""),
    ],
)
def test_a_page_names_the_next_one(dialect: str, answer: object, query: str) -> None:
    assert next_page(dialect, answer) == query


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_tiny_request_goes_to_the_dialects_main_path(dialect: str) -> None:
    tiny = tiny_request(dialect, "m")
    assert tiny.path.startswith(MAIN_PATHS[dialect])


@pytest.mark.parametrize(
    ("dialect", "limit"),
    [
        (CHAT, {"max_tokens": 1}),
        (RESPONSES, {"max_output_tokens": 16, "store": False}),
        (ANTHROPIC, {"max_tokens": 1}),
        (GEMINI, {"generationConfig": {"maxOutputTokens": 1}}),
    ],
)
def test_a_tiny_request_asks_for_the_least_that_its_dialect_allows(dialect: str, limit: dict[str, object]) -> None:
    body = tiny_request(dialect, "m").body
    said = {"messages", "input", "contents", "model"}
    assert {name: value for name, value in body.items() if name not in said} == limit


def test_a_model_in_a_path_is_escaped() -> None:
    assert tiny_request(GEMINI, "tuned/a b").path == "/models/tuned%2Fa%20b:generateContent"
