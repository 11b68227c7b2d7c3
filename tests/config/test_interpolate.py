"""References in strings."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.config.interpolate import MAX_FILE_BYTES, Resolved, Unresolved, interpolate

ENVIRON = {"HOST": "example.org", "EMPTY": "", "NESTED": "${HOST}", "RAW": "caf\udce9"}


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("plain", "plain"),
        ("costs $5", "costs $5"),
        ("$HOST", "$HOST"),
        ("${HOST}", "example.org"),
        ("https://${HOST}:${PORT:-8000}/", "https://example.org:8000/"),
        ("${HOST}${HOST}", "example.orgexample.org"),
        ("${EMPTY}", ""),
        ("${EMPTY:-other}", "other"),
        ("${UNSET:-}", ""),
        ("${UNSET:-a:-b}", "a:-b"),
        ("$${HOST}", "${HOST}"),
        ("$$${HOST}", "$${HOST}"),
        ("$$", "$$"),
        ("${NESTED}", "${HOST}"),
    ],
)
def test_a_reference_is_replaced(text: str, result: str) -> None:
    assert interpolate(text, ENVIRON, Path("/")) == Resolved(result)


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("${UNSET}", "the variable UNSET is not set", "${UNSET:-…}"),
        ("${HOST", "without its }", "${VAR}"),
        ("${}", "${} is no reference", "${VAR}"),
        ("${1A}", "${1A} is no reference", "${VAR}"),
        ("${env:HOST}", "${env:HOST} is no reference", "${VAR}"),
        ("${A:-${HOST}}", "is no reference", "${VAR}"),
        ("${RAW}", "the variable RAW is not valid UTF-8", ""),
        ("${file:}", "names no file", "${file:/path}"),
        ("${file:/not/there}", "/not/there cannot be read: No such file", ""),
        ("${file:/}", "Is a directory", ""),
        ("${file:a\0b}", "cannot be read", ""),
        ("${credential:key}", "$CREDENTIALS_DIRECTORY is not set", "LoadCredential=key:"),
        ("${credential:../key}", "names no credential", "plain file name"),
        ("${credential:}", "names no credential", "plain file name"),
    ],
)
def test_a_reference_that_leads_nowhere_says_what_to_do(text: str, message: str, hint: str) -> None:
    with pytest.raises(Unresolved) as caught:
        interpolate(text, ENVIRON, Path("/"))
    assert message in str(caught.value)
    assert hint in caught.value.hint


@pytest.mark.parametrize(
    ("content", "text"),
    [(b"s3cret\n", "s3cret"), (b"s3cret", "s3cret"), (b"a\n\n", "a\n"), (b"a\r\n", "a"), (b"\xef\xbb\xbfa", "a")],
)
def test_a_file_is_taken_without_its_trailing_newline_and_counts_as_secret(
    tmp_path: Path, content: bytes, text: str
) -> None:
    (tmp_path / "secret").write_bytes(content)
    assert interpolate("${file:secret}", {}, tmp_path) == Resolved(text, secret=True)
    assert interpolate(f"<${{file:{tmp_path}/secret}}>", {}, Path("/")) == Resolved(f"<{text}>", secret=True)
    environ = {"CREDENTIALS_DIRECTORY": str(tmp_path)}
    assert interpolate("${credential:secret}", environ, Path("/")) == Resolved(text, secret=True)


def test_a_file_of_bytes_or_without_end_is_refused(tmp_path: Path) -> None:
    (tmp_path / "bytes").write_bytes(b"\xff\xfe")
    with pytest.raises(Unresolved, match="as UTF-8"):
        interpolate("${file:bytes}", {}, tmp_path)
    with pytest.raises(Unresolved, match=f"larger than {MAX_FILE_BYTES}"):
        interpolate("${file:/dev/zero}", {}, tmp_path)
