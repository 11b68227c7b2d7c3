"""The client's name for a model and the provider's: bytes on the left, bytes on the right."""

from __future__ import annotations

import pytest

from gateway import jsonlib
from gateway.conductor.rename import insert_field, rename_in_events, rename_model, replace_model

SEED = b"123456789012345678901234567890"


@pytest.mark.parametrize(
    ("body", "replaced"),
    [
        (b'{"model":"a"}', b'{"model":"b"}'),
        (b' {\n "model" :\t"a" , "x" : 1.50 }\n', b' {\n "model" :\t"b" , "x" : 1.50 }\n'),
        (b'{"seed":' + SEED + b',"model":"a"}', b'{"seed":' + SEED + b',"model":"b"}'),
        (b'{"model":"\\u0061"}', b'{"model":"b"}'),
        (b'{"x":"\\"model\\":\\"a\\"","model":"a"}', b'{"x":"\\"model\\":\\"a\\"","model":"b"}'),
        (b'{"x":{"model":"other"},"model":"a"}', b'{"x":{"model":"other"},"model":"b"}'),
        (b'{"model":"first","model":"a"}', b'{"model":"first","model":"b"}'),
        (b'{"x":["model","a"],"model":"a"}', b'{"x":["model","a"],"model":"b"}'),
        (b'{"messages":[]}', b'{"model":"b","messages":[]}'),
        (b" { } ", b'{"model":"b"}'),
        # where it stands is not certain: written anew
        (b'{"x": {"model": "a"}, "model": "a"}', b'{"x":{"model":"a"},"model":"b"}'),
        (b'{"mod\\u0065l": "a"}', b'{"model":"b"}'),
        (b'{"model": null}', b'{"model":"b"}'),
    ],
)
def test_the_model_of_a_request_is_replaced_where_it_stands(body: bytes, replaced: bytes) -> None:
    decoded = jsonlib.loads(body)
    assert replace_model(body, decoded, "b") == replaced
    assert decoded == jsonlib.loads(body)  # for the next try


@pytest.mark.parametrize(
    ("body", "renamed"),
    [
        (b'{"model": "x-2024", "id":1}', b'{"model": "name", "id":1}'),
        (b'{"type":"t", "response": {"model": "x"}}', b'{"type":"t", "response": {"model": "name"}}'),
        (b'{"model": null, "id": 1}', b'{"model":"name","id":1}'),
        (b'{"response": {"id": 1}}', None),
        (b'{"response": "model"}', None),
        (b'["model"]', None),
        (b"[DONE]", None),
    ],
)
def test_the_model_of_an_answer_is_replaced_where_it_stands(body: bytes, renamed: bytes | None) -> None:
    assert rename_model(body, "name") == renamed


def test_events_that_name_no_model_stay_as_they_are() -> None:
    events = (
        b': "model"\nevent: "model"\nid: 1\ndata: {"model": "x"}\r\n\r\n'
        b'data:{"model":"y"}\n\ndata: {"content": "a\\"model\\""}\n\ndata: {"model"\n\n'
    )
    renamed = events.replace(b'"x"', b'"name"').replace(b'"y"', b'"name"')
    assert rename_in_events(events, "name") == renamed


def test_a_name_that_needs_escapes_gets_them() -> None:
    assert replace_model(b'{"model":"a"}', {"model": "a"}, 'q"\n') == b'{"model":"q\\"\\n"}'


def test_a_field_is_put_in_front() -> None:
    assert insert_field(b'\n{ "a":1}', {"a": 1}, "stream", True) == b'\n{"stream":true, "a":1}'


@pytest.mark.parametrize(
    ("body", "renamed"),
    [
        (b'{"type":"message_start","message":{"model":"real","id":1}}', b'{"model":"alias","id":1}'),
        (b'{"candidates":[], "modelVersion": "real"}', b'"modelVersion": "alias"}'),
        (b'{"response":{"model":"real"}}', b'{"model":"alias"}'),
    ],
)
def test_every_dialects_name_for_the_model_is_replaced(body: bytes, renamed: bytes) -> None:
    assert renamed in (rename_model(body, "alias") or b"")
    assert renamed in rename_in_events(b"data: " + body + b"\n\n", "alias")
