"""What costs more than tokens: what is found in a request, and what is left of it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.conductor.extras import Extras, find_extras, without_extras

FUNCTION: dict[str, Any] = {"type": "function", "function": {"name": "web_search"}}
CLAUDES: dict[str, Any] = {"type": "web_search_20250305", "name": "web_search"}
OWN: dict[str, Any] = {"name": "mine", "input_schema": {}}


@pytest.mark.parametrize(
    ("fields", "found"),
    [
        ({}, Extras()),
        ({"service_tier": None, "speed": "standard", "inference_geo": "global"}, Extras()),
        ({"service_tier": "auto"}, Extras()),
        ({"service_tier": "fast"}, Extras("service_tier")),
        ({"service_tier": 1}, Extras("service_tier")),
        ({"serviceTier": "PRIORITY"}, Extras("serviceTier")),
        ({"inference_geo": "us"}, Extras("inference_geo")),
        ({"plugins": [{"id": "web"}]}, Extras("plugins")),
        ({"tools": [FUNCTION]}, Extras()),
        ({"tools": [FUNCTION], "tool_choice": {"type": "function", "function": {"name": "web_search"}}}, Extras()),
        ({"tools": [CLAUDES]}, Extras("web_search_20250305")),
        ({"tools": [OWN, CLAUDES]}, Extras("", ("web_search_20250305",))),
        ({"tools": [OWN, CLAUDES], "tool_choice": {"type": "tool", "name": "mine"}}, Extras("", (CLAUDES["type"],))),
        ({"tools": [OWN, CLAUDES], "tool_choice": {"type": "tool", "name": "web_search"}}, Extras(CLAUDES["type"])),
        (
            {"tools": [OWN, CLAUDES], "tool_choice": {"type": "allowed_tools", "tools": [{"type": CLAUDES["type"]}]}},
            Extras(CLAUDES["type"]),
        ),
        ({"tools": [{"googleSearch": {}}]}, Extras("googleSearch")),
        ({"tools": {"google_search": {}}}, Extras("google_search")),
        ({"tools": [{"googleSearch": {}, "functionDeclarations": []}]}, Extras("", ("googleSearch",))),
        ({"tools": [{"urlContext": {}}]}, Extras()),
        ({"tools": "nonsense"}, Extras()),
        ({"tools": [1, None, {"type": 1}]}, Extras()),
    ],
)
def test_what_has_no_price_is_found(fields: dict[str, Any], found: Extras) -> None:
    assert find_extras(fields, "m", calls_priced=False) == found


def test_a_model_that_searches_by_its_name_is_found() -> None:
    assert find_extras({}, "openai/gpt-4o:online", calls_priced=False).demanded == "model:online"


def test_a_price_of_the_request_pays_for_calls_but_for_no_tier() -> None:
    assert find_extras({"tools": [CLAUDES], "web_search_options": {}}, "m:online", calls_priced=True) == Extras()
    assert find_extras({"service_tier": "priority"}, "m", calls_priced=True) == Extras("service_tier")


@pytest.mark.parametrize(
    ("tools", "left"),
    [
        ([OWN, CLAUDES], [OWN]),
        ([{"googleSearch": {}, "functionDeclarations": []}, {"google_maps": {}}], [{"functionDeclarations": []}]),
    ],
)
def test_all_but_the_offers_stays_as_it_was(tools: Any, left: Any) -> None:
    body = {"model": "m", "tools": tools, "x": 1.5}
    assert json.loads(without_extras(json.dumps(body).encode())) == {**body, "tools": left}


@pytest.mark.parametrize("body", [b'{"a": 1}', b'{ "tools": [{"type": "function"}] }'])
def test_a_request_without_offers_is_left_alone(body: bytes) -> None:
    assert without_extras(body) is body
