"""Which requests the cache is for, and which are the same."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.conductor.ask import Ask
from gateway.conductor.auth import Identity
from gateway.conductor.cachekeys import CANONICAL_LIMIT, Wishes, canonical, is_cacheable, key_of, read_wishes

BODY: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}


def ask(fields: dict[str, Any] | None = None, **more: Any) -> Ask:
    fields = BODY if fields is None else fields
    values: dict[str, Any] = {
        "method": b"POST",
        "dialect": "openai_chat",
        "path": "/chat/completions",
        "query": "",
        "headers": ((b"user-agent", b"x"),),
        "body": json.dumps(fields).encode(),
        "model": "m",
        "shape": "chat",
        "identity": Identity("ann", "ann-1"),
        "fields": fields,
        **more,
    }
    return Ask(**values)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (b'{"a":1,"b":[true,null]}', b' { "b" : [ true , null ], "a":1 } '),
        (b'{"a":{"c":1,"b":2}}', b'{"a":{"b":2,"c":1}}'),
        ('{"a":"é"}'.encode(), b'{"a":"\\u00e9"}'),
        (b'{"a":"/"}', b'{"a":"\\/"}'),
    ],
)
def test_order_spacing_and_escapes_mean_nothing(one: bytes, other: bytes) -> None:
    assert canonical(one) == canonical(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (b'{"a":1}', b'{"a":1.0}'),
        (b'{"a":1}', b'{"a":"1"}'),
        (b'{"a":18446744073709551617}', b'{"a":18446744073709551618}'),
        (b'{"a":0.1}', b'{"a":0.10000000000000000001}'),
        (b'{"a":[1,2]}', b'{"a":[2,1]}'),
        (b'{"a":null}', b"{}"),
        (b'{"a":false}', b'{"a":0}'),
        (b'{"a":1,"a":2}', b'{"a":2}'),
        (b'{"a":1,"a":2}', b'{"a":2,"a":1}'),
        (b'{"a":"x "}', b'{"a":"x"}'),
    ],
)
def test_what_a_reader_can_tell_apart_is_not_the_same(one: bytes, other: bytes) -> None:
    assert canonical(one) != canonical(other)


@pytest.mark.parametrize("body", [b"[" * 100_000 + b"]" * 100_000, b'{"a":"' + b"x" * CANONICAL_LIMIT + b'"}'])
def test_what_is_too_deep_or_too_long_is_the_same_byte_for_byte(body: bytes) -> None:
    assert canonical(body) == b"\0" + body


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


def told_apart(value: object) -> str:
    return json.dumps(value, sort_keys=True)


@given(VALUES, VALUES)
def test_two_bodies_are_the_same_if_and_only_if_they_say_the_same(one: object, other: object) -> None:
    same = told_apart(one) == told_apart(other)
    assert (canonical(json.dumps(one).encode()) == canonical(json.dumps(other, indent=1).encode())) is same


def test_the_same_request_of_the_same_user_has_the_same_key() -> None:
    assert key_of(ask(), "main", "m", shared=False) == key_of(ask(), "main", "m", shared=False)
    other_token = ask(identity=Identity("ann", "ann-2"))
    assert key_of(ask(), "main", "m", shared=False) == key_of(other_token, "main", "m", shared=False)


@pytest.mark.parametrize(
    "other",
    [
        ask({**BODY, "temperature": 0}),
        ask(identity=Identity("bob", "bob-1")),
        ask(identity=Identity("ann")),
        ask(dialect="anthropic"),
        ask(shape="completions"),
        ask(path="/completions"),
        ask(query="beta=true"),
        ask(model="n"),
        ask(headers=((b"anthropic-beta", b"x"),)),
        ask(headers=((b"openai-beta", b"x"),)),
        ask(headers=((b"anthropic-version", b"x"),)),
    ],
)
def test_whatever_changes_the_answer_changes_the_key(other: Ask) -> None:
    assert key_of(ask(), "main", "m", shared=False) != key_of(other, "main", "m", shared=False)


def test_another_provider_or_model_of_its_is_another_key() -> None:
    keys = {key_of(ask(), provider, model, shared=False) for provider in ("main", "b") for model in ("m", "n")}
    assert len(keys) == 4


def test_shared_the_user_does_not_matter_and_headers_about_the_client_never_do() -> None:
    other = ask(identity=Identity("bob", "bob-1"), headers=((b"user-agent", b"other"), (b"idempotency-key", b"1")))
    assert key_of(ask(), "main", "m", shared=True) == key_of(other, "main", "m", shared=True)
    assert key_of(ask(), "main", "m", shared=True) != key_of(ask(), "main", "m", shared=False)


@pytest.mark.parametrize("shape", ["chat", "completions", "messages", "generate", "embeddings", "embed"])
def test_calls_that_leave_nothing_behind_are_cacheable(shape: str) -> None:
    assert is_cacheable(ask(shape=shape))


@pytest.mark.parametrize(
    "other",
    [
        ask(shape="raw"),
        ask(shape="other"),
        ask(shape="stored"),
        ask(shape="count_tokens"),
        ask(shape="count"),
        ask(shape="responses"),
        ask({"store": True}, shape="responses"),
        ask({"store": False, "previous_response_id": "resp_1"}, shape="responses"),
        ask({"store": False, "conversation": {"id": "conv_1"}}, shape="responses"),
        ask({"store": False, "background": True}, shape="responses"),
        ask({"store": False}, shape="responses", continues="resp_1"),
        ask({**BODY, "store": True}),
        ask({**BODY, "container": "c"}, shape="messages"),
        ask({**BODY, "mcp_servers": [{}]}, shape="messages"),
        ask({"store": False, "tools": [{"type": "mcp"}]}, shape="responses"),
    ],
)
def test_what_goes_on_from_something_or_acts_is_not(other: Ask) -> None:
    assert not is_cacheable(other)


def test_a_body_that_nobody_has_read_is_not_cacheable() -> None:
    other = ask()
    other.fields = None
    assert not is_cacheable(other)


def test_a_responses_answer_that_is_not_stored_is_cacheable() -> None:
    assert is_cacheable(ask({"store": False, "tools": "nonsense", "previous_response_id": None}, shape="responses"))


@pytest.mark.parametrize(
    ("field", "wishes"),
    [
        (b"", Wishes()),
        (b"no-cache", Wishes(read=False)),
        (b"No-Store", Wishes(read=False, store=False)),
        (b"max-age=10", Wishes(max_age=10)),
        (b'private, max-age="10"', Wishes(max_age=10)),
        (b"max-age=", Wishes(max_age=0)),
        (b"max-age=-1", Wishes(max_age=0)),
        (b"max-age=1e9, no-cache", Wishes(read=False, max_age=0)),
        (b"max-age=" + b"9" * 400, Wishes(max_age=1e9)),
        (b"only-if-cached, x=", Wishes()),
    ],
)
def test_a_clients_wishes(field: bytes, wishes: Wishes) -> None:
    assert read_wishes(field) == wishes
