"""A few fields out of a multipart body: bytes on the left, the field and its place on the right."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.api.multipart import FIELD_LIMIT, PARTS_LIMIT, read_fields
from gateway.errors import RequestError
from tests.api.harness import configuration, gateway
from tests.conftest import run
from tests.fakes.provider import FakeProvider

TYPE = "multipart/form-data; boundary=xyz"


def part(name: str, value: bytes, more: str = "") -> bytes:
    return f'--xyz\r\nContent-Disposition: form-data; name="{name}"{more}\r\n\r\n'.encode() + value + b"\r\n"


END = b"--xyz--\r\n"
MODEL = part("model", b"whisper-1")
FILE = part("file", b'\x00\xff\r\n--xy\r\nname="model"\r\n\r\nno', '; filename="model.mp3"\r\nContent-Type: audio/mpeg')


@pytest.mark.parametrize(
    ("body", "value"),
    [
        (MODEL + FILE + END, "whisper-1"),
        (FILE + MODEL + END, "whisper-1"),
        (b"preamble\r\n" + FILE + MODEL + END, "whisper-1"),
        (MODEL.replace(b'"model"', b"model") + END, "whisper-1"),
        (b"--xyz\r\nX-Other: 1\r\ncontent-disposition: form-data;name=model\r\n\r\nm\r\n" + END, "m"),
        (part("model", "ü".encode()) + END, "ü"),
        (part("model", b"\xff") + END, "�"),
        (part("model", b"") + END, ""),
        (part("model", b"file", '; filename="x"') + END, None),
        (part("model", b"file", "; filename*=UTF-8''x") + END, None),
        (part("model", b"x" * (FIELD_LIMIT + 1)) + END, None),
        (part("model", b"x" * FIELD_LIMIT) + END, "x" * FIELD_LIMIT),
        (part("models", b"no") + part("amodel", b"no") + part("other", b"name=model") + END, None),
        (part("a", b"") * (PARTS_LIMIT - 1) + MODEL + END, "whisper-1"),
        (MODEL + END + b"epilogue\r\n" + MODEL, "whisper-1"),
        (FILE + END, None),
        (END, None),
    ],
)
def test_a_field_is_found_among_the_parts(body: bytes, value: str | None) -> None:
    field = read_fields(body, TYPE.encode(), ("model",)).get("model")
    assert (field.value if field else None) == value
    if field is not None:
        assert body[field.start : field.end].decode("utf-8", "replace") == value


def test_several_fields_are_found_in_any_order() -> None:
    fields = read_fields(part("stream", b"true") + FILE + MODEL + END, TYPE.encode(), ("model", "stream"))
    assert {name: field.value for name, field in fields.items()} == {"stream": "true", "model": "whisper-1"}


@pytest.mark.parametrize(
    "second",
    [
        MODEL,
        part("model", b"other"),
        part("MODEL", b"other"),
        part("model", b"other", '; filename="x"'),
        part("model", b"other", '; x="; filename=y"'),
        part("model", b"other" + b" " * FIELD_LIMIT),
        MODEL.replace(b'"model"', b"model"),
        MODEL.replace(b'name="model"', b'name = "model"'),
    ],
)
def test_a_field_that_comes_twice_is_refused(second: bytes) -> None:
    for body in (MODEL + FILE + second + END, second + MODEL + END):
        with pytest.raises(RequestError, match="'model' is given more than once") as caught:
            read_fields(body, TYPE.encode(), ("model",))
        assert (caught.value.status, caught.value.param) == (400, "model")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        MODEL[:-2],
        MODEL,
        b"--xyz\r\nno empty line",
        b"--xyz\r\nno empty line\r\n" + MODEL + END,
        (MODEL + END).replace(b"\r\n", b"\n"),
        MODEL.replace(b"--xyz\r\n", b"--xyz\n") + END,
        MODEL.replace(b"\r\n\r\n", b"\r\nx: " + b"y" * 10_000 + b"\r\n\r\n") + END,
        part("a", b"") * PARTS_LIMIT + MODEL + END,
    ],
)
def test_what_is_no_form_is_refused(body: bytes) -> None:
    with pytest.raises(RequestError, match="not a form that can be read"):
        read_fields(body, TYPE.encode(), ("model",))


@pytest.mark.parametrize(
    ("content_type", "found"),
    [
        ("multipart/form-data; boundary=xyz", True),
        ('multipart/form-data; boundary="xyz"', True),
        ("multipart/form-data; charset=utf-8; Boundary=xyz ; x=y", True),
        ("multipart/form-data; xboundary=other; boundary=xyz", True),
        ("multipart/form-data", False),
        ("multipart/form-data; boundary=", False),
        ("multipart/form-data; boundary=other", False),
        ("multipart/form-data; boundary=xyz; boundary=other", False),
        ("multipart/form-data; boundary=xyz, multipart/form-data; boundary=other", False),
    ],
)
def test_the_boundary_is_read_from_the_content_type(content_type: str, found: bool) -> None:
    if found:
        assert read_fields(MODEL + END, content_type.encode(), ("model",))
    else:
        with pytest.raises(RequestError, match="not a form that can be read"):
            read_fields(MODEL + END, content_type.encode(), ("model",))


@pytest.mark.parametrize(
    ("model", "sent"),
    [("gpt-4o", "gpt-4o"), ("hear", "whisper-1"), ("main/whisper-1", "whisper-1"), ("main/hear", "whisper-1")],
)
def test_a_file_passes_untouched_and_the_model_alone_is_renamed(tmp_path: Path, model: str, sent: str) -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake:
            provider = 'models = ["gpt-4o", "hear=whisper-1"]'
            async with gateway(tmp_path, configuration(fake.base_url, provider=provider)) as running:
                body = FILE + part("model", model.encode()) + part("prompt", b"main/hear") + END
                got = await running.ask("POST", "/v1/audio/transcriptions", body, {"Content-Type": TYPE})
                assert got.status == 200
                assert fake.requests[0].headers["content-type"] == TYPE
                renamed = part("model", sent.encode())
                assert fake.requests[0].body == FILE + renamed + part("prompt", b"main/hear") + END

    run(scenario())


def test_a_streamed_transcription_is_known_as_one(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake, gateway(tmp_path, configuration(fake.base_url)) as running:
            body = MODEL + part("stream", b"true") + FILE + END
            assert (await running.ask("POST", "/v1/audio/transcriptions", body, {"Content-Type": TYPE})).status == 200
            assert (await running.logged())["streamed"] is True

    run(scenario())


def test_a_form_without_a_model_needs_a_default(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake:
            more = f'[providers.second]\ntype = "openai"\nbase_url = "{fake.base_url}"\nmodels = ["b"]'
            async with gateway(tmp_path, configuration(fake.base_url, more=more)) as running:
                got = await running.ask("POST", "/v1/images/edits", FILE + END, {"Content-Type": TYPE})
                assert (got.status, got.code, got.error["param"]) == (400, "invalid_request_error", "model")

    run(scenario())


def test_a_form_with_two_models_goes_nowhere(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake, gateway(tmp_path, configuration(fake.base_url)) as running:
            body = MODEL + FILE + part("model", b"gpt-4o") + END
            got = await running.ask("POST", "/v1/audio/transcriptions", body, {"Content-Type": TYPE})
            assert (got.status, got.code, got.error["param"]) == (400, "invalid_request_error", "model")
            assert not fake.requests

    run(scenario())
