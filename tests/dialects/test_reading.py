"""Values of the wanted shape, or an error that names the path."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.dialects import reading
from gateway.errors import RequestError

Read = Callable[[dict[str, Any], str, str], Any]

READERS: dict[str, Read] = {
    "text": reading.text,
    "required_text": reading.required_text,
    "boolean": reading.boolean,
    "integer": reading.integer,
    "number": reading.number,
    "mapping": reading.mapping,
    "array": reading.array,
    "objects": lambda obj, name, path: list(reading.objects(obj, name, path)),
    "texts": reading.texts,
    "one_of": lambda obj, name, path: reading.one_of(obj, name, ("a", "b"), path),
}

GOOD: list[tuple[str, object, object]] = [
    ("text", "x", "x"),
    ("text", "", ""),
    ("text", None, ""),
    ("required_text", "", ""),
    ("boolean", False, False),
    ("boolean", None, None),
    ("integer", 0, 0),
    ("integer", 8.0, 8),
    ("integer", None, None),
    ("number", 1, 1),
    ("number", 0.0, 0.0),
    ("mapping", {}, {}),
    ("mapping", None, None),
    ("array", [], []),
    ("array", None, None),
    ("objects", [{"a": 1}, {}], [("in.x.0", {"a": 1}), ("in.x.1", {})]),
    ("objects", None, []),
    ("texts", None, ()),
    ("texts", "a", ("a",)),
    ("texts", ["a", ""], ("a", "")),
    ("one_of", "b", "b"),
    ("one_of", None, ""),
]

BAD: list[tuple[str, object, str]] = [
    ("text", 1, "in.x"),
    ("required_text", None, "in.x"),
    ("boolean", 0, "in.x"),
    ("integer", True, "in.x"),
    ("integer", 1.5, "in.x"),
    ("integer", "1", "in.x"),
    ("number", False, "in.x"),
    ("number", "1", "in.x"),
    ("mapping", [], "in.x"),
    ("array", {}, "in.x"),
    ("array", "ab", "in.x"),
    ("objects", {}, "in.x"),
    ("objects", [{}, None], "in.x.1"),
    ("texts", {}, "in.x"),
    ("texts", ["a", None], "in.x"),
    ("one_of", "c", "in.x"),
    ("one_of", ["a"], "in.x"),
]


@pytest.mark.parametrize(("name", "value", "wanted"), GOOD)
def test_a_value_of_the_wanted_shape(name: str, value: object, wanted: object) -> None:
    got = READERS[name]({"x": value}, "x", "in")
    assert got == wanted
    assert type(got) is type(wanted)


@pytest.mark.parametrize(("name", "value", "param"), BAD)
def test_another_shape_is_refused_with_its_path(name: str, value: object, param: str) -> None:
    with pytest.raises(RequestError) as caught:
        READERS[name]({"x": value}, "x", "in")
    assert (caught.value.status, caught.value.param) == (400, param)


@pytest.mark.parametrize("name", [name for name in READERS if name != "required_text"])
def test_what_is_missing_and_what_is_null_are_not_said(name: str) -> None:
    assert READERS[name]({}, "x", "") == READERS[name]({"x": None}, "x", "")


def test_a_text_may_have_a_default() -> None:
    assert reading.text({}, "x", default="d") == "d"
    assert reading.text({"x": ""}, "x", default="d") == ""


def test_paths_join() -> None:
    assert reading.join("", "a") == "a"
    assert reading.join("a", 0) == "a.0"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


@pytest.mark.parametrize("name", READERS)
@given(value=JSON)
def test_no_json_makes_a_reader_fail_otherwise(name: str, value: object) -> None:
    try:
        READERS[name]({"x": value}, "x", "")
    except RequestError as exc:
        assert exc.param is not None and exc.param.startswith("x")
