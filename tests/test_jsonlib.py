"""The two implementations of JSON agree."""

from __future__ import annotations

import importlib.util
import sys
from types import ModuleType

import pytest

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
    [b"", b"{", b"NaN", b"[Infinity]", b"-Infinity", b"{'a':1}", b"\xff", b"[1,]", b"[" * 100_000, rb'["\ud800"]'],
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
    ],
)
def test_a_member_of_the_outermost_object_that_is_there_twice_is_seen(text: bytes, twice: bool) -> None:
    assert jsonlib.repeats(text, "model") is twice
