"""OpenAI's error shape, and answers that are none."""

from __future__ import annotations

import json

import pytest

from gateway.dialects.openai_chat.errors import carries_error, empty_answer, error_body
from gateway.errors import RequestError


def test_an_error_of_ours_has_openais_shape() -> None:
    err = RequestError(400, "invalid_request_error", "messages is missing", param="messages", extra={"required": 3})
    assert json.loads(error_body(err)) == {
        "error": {
            "message": "messages is missing",
            "type": "invalid_request_error",
            "param": "messages",
            "code": "invalid_request_error",
            "required": 3,
        }
    }


@pytest.mark.parametrize(
    ("obj", "error", "empty"),
    [
        ({"choices": [{"index": 0}]}, False, False),
        ({"choices": [{"index": 0}], "error": None}, False, False),
        ({"choices": []}, False, True),
        ({"choices": None}, False, True),
        ({}, False, True),
        ([], False, True),
        (None, False, True),
        ({"error": {"message": "no"}}, True, True),
        ({"error": "no", "choices": [{}]}, True, True),
        ({"object": "error", "message": "no"}, True, True),
        ({"error": "", "choices": [{}]}, False, False),
    ],
)
def test_an_answer_without_choices_or_with_an_error_is_empty(obj: object, error: bool, empty: bool) -> None:
    assert (carries_error(obj), empty_answer(obj)) == (error, empty)
