"""The two implementations of JSON agree."""

from __future__ import annotations

import importlib.util
import sys
from types import ModuleType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway import jsonlib


def without_orjson(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """A second copy of the module, made where orjson cannot be imported."""
    monkeypatch.setitem(sys.modules, "orjson", None)
    assert jsonlib.__file__ is not None
    spec = importlib.util.spec_from_file_location("jsonlib_without_orjson", jsonlib.__file__)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert not hasattr(module, "orjson")
    return module


@pytest.mark.parametrize(
    "value", [None, True, 1, -1.5, "ü€😀\n", [], {}, {"b": 1, "a": [1, {"c": None}]}, "a" * 10_000, 2**53]
)
def test_both_write_the_same_bytes_and_read_them_back(monkeypatch: pytest.MonkeyPatch, value: object) -> None:
    fallback = without_orjson(monkeypatch)
    assert fallback.dumps(value) == jsonlib.dumps(value)
    assert fallback.dumps_pretty(value) == jsonlib.dumps_pretty(value)
    assert fallback.loads(jsonlib.dumps(value)) == jsonlib.loads(fallback.dumps(value)) == value


@pytest.mark.parametrize(
    "text",
    [
        *(b"", b"{", b"NaN", b"[Infinity]", b"-Infinity", b"{'a':1}", b"\xff", b"[1,]", b"[" * 100_000),
        *(
            rb'["\ud800"]',
            b'["\xed\xa0\x80"]',
            *('["a"]'.encode(name) for name in ("utf-16", "utf-32-be", "utf-8-sig")),
        ),
    ],
)
def test_both_refuse_what_is_not_json_with_a_value_error(monkeypatch: pytest.MonkeyPatch, text: bytes) -> None:
    fallback = without_orjson(monkeypatch)
    for loads in (jsonlib.loads, fallback.loads):
        with pytest.raises(ValueError):
            loads(text)


@pytest.mark.parametrize(
    ("text", "twice"),
    [
        (b'{"model":"a"}', False),
        (b'{"model":"a","model":"b"}', True),
        (b'{"model":"a","mod\\u0065l":"b"}', True),
        (b'{"model":"a","text":"\\u0065"}', False),
        (b'{"model":"a","tools":[{"model":"b"},{"model":"c","model":"d"}]}', False),
        (b'{"tools":{"model":"c"},"model":"a","model":"b"}', True),
        (b'{"model":"a","user":"model"}', False),
        (b'["model","model"]', False),
        (b'{"model":"a","text":"\\u0065","deep":' + b"[" * 1000 + b"]" * 1000 + b"}", True),  # nobody knows
    ],
)
def test_a_member_of_the_outermost_object_that_is_there_twice_is_seen(text: bytes, twice: bool) -> None:
    assert jsonlib.repeats(text, jsonlib.loads(text), "model") is twice


def test_of_several_members_one_that_is_there_twice_is_enough() -> None:
    text = b'{"model":"a","n":1,"user":"u","n":2}'
    assert jsonlib.repeats(text, jsonlib.loads(text), "model", "n")
    assert not jsonlib.repeats(text, jsonlib.loads(text), "model", "user")


@pytest.mark.parametrize(
    ("text", "twice"),
    [
        (b'{"held":{"n":1,"n":2}}', True),
        (b'{"held":{"n":1,"\\u006e":2}}', True),
        (b'{"n":1,"held":{"n":2}}', False),
        (b'{"other":{"n":1,"n":2},"held":{"n":1}}', False),
        (b'{"held":[{"n":1,"n":2}]}', False),
        (b'{"held":{"inner":{"n":1,"n":2}}}', False),
        (b'{"held":{"n":1},"held":{"n":2}}', False),  # which is another name's matter
    ],
)
def test_objects_that_are_named_are_looked_into(text: bytes, twice: bool) -> None:
    assert jsonlib.repeats(text, jsonlib.loads(text), "n", within=("held",)) is twice


def _object(members: list[tuple[str, bytes]]) -> bytes:
    return b"{" + b", ".join(b'"%b": %b' % (name.encode(), value) for name, value in members) + b"}"


NAMES = st.sampled_from(["model", "n", "text"])
VALUES = st.recursive(
    st.sampled_from([b"1", b'"model"', rb'"a \"model\": 1"', b'"n"', '"\u00e9"'.encode()]),
    lambda inner: st.lists(st.tuples(NAMES, inner), max_size=3).map(_object),
    max_leaves=6,
)


@given(st.lists(st.tuples(NAMES, VALUES), max_size=4))
def test_what_is_there_twice_is_seen_whatever_stands_elsewhere(members: list[tuple[str, bytes]]) -> None:
    text, names = _object(members), [name for name, _ in members]
    for name in ("model", "n"):
        assert jsonlib.repeats(text, jsonlib.loads(text), name) is (names.count(name) > 1)
