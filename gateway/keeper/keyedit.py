"""Editing the text of a key file: adding keys at its end, taking keys out.

Everything else stays as the operator wrote it: comments, order, blank lines, line ends. What is added has been read
again, so that no key is called added that the daemon will not find. Pure; reading and writing the file is the caller's
affair, and only ever on the operator's word. No message quotes a key.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence

from gateway import jsonlib
from gateway.errors import GatewayError
from gateway.keeper.keylines import BadLineError, KeyEntry, parse_key_lines, parse_line
from gateway.secret import Secret, fingerprint


def add_keys(text: str, keys: Sequence[str], *, ndjson: bool | None = None) -> str:
    """`text` with those of `keys` that it lacks at its end, in order.

    Each of `keys` is a key, or a whole line with labels. `ndjson` says what the file is; None: as its lines look.
    Raises GatewayError for what is no key, or could not be read again, and then nothing is added.
    """
    as_json = _looks_like_json(text) if ndjson is None else ndjson
    present = _read(text, as_json)
    added: dict[Secret, tuple[int, KeyEntry]] = {}
    for number, given in enumerate(keys, 1):
        try:
            found = parse_line(given, given.lstrip().startswith("{"))
        except BadLineError as error:
            raise GatewayError(f"key {number} of {len(keys)} given {error}") from None
        if found is None:
            continue
        key, labels, remarks = found
        if remarks:
            raise GatewayError(f"key {number} of {len(keys)} given {remarks[0]}")
        secret = Secret(key)
        if secret not in present:
            added.setdefault(secret, (number, KeyEntry(secret, labels)))
    if not added:
        return text
    end = "\r\n" if "\r\n" in text else "\n"
    if text and not text.endswith("\n"):
        text += end
    text += "".join(_line(entry, as_json) + end for _, entry in added.values())
    written = _read(text, as_json)
    for number, entry in added.values():
        if written.get(entry.secret) != entry:
            raise GatewayError(
                f"key {number} of {len(keys)} given could not be read again from this file",
                detail="nothing was added",
                hint="a key cannot begin with #, a label of a .txt file cannot hold quotation marks",
            )
    return text


def _read(text: str, ndjson: bool) -> Mapping[Secret, KeyEntry]:
    """What the daemon will find in a file of this text."""
    return {entry.secret: entry for entry in parse_key_lines(text.encode(), ndjson).entries}


def _line(entry: KeyEntry, as_json: bool) -> str:
    key = entry.secret.reveal()  # a key file is where keys stand
    if as_json:
        return jsonlib.dumps({"value": key, **entry.labels}).decode()
    return key_line(key, entry.labels)


def key_line(key: str, labels: Mapping[str, str]) -> str:
    """A key and its labels as a line of a .txt file, without its end."""
    return key + "".join(f" {name}={_quoted(value)}" for name, value in labels.items())


def remove_keys(text: str, wanted: Sequence[str]) -> tuple[str, int]:
    """`text` without the lines of these keys, and how many keys that were.

    Each of `wanted` is a key or a fingerprint as listings show it (`sk-…a1b2`, or with three dots). Raises
    GatewayError for a fingerprint that several keys have, and then nothing is removed.
    """
    lines = list(_keyed_lines(text))
    keys = {key for _, key in lines if key is not None}
    by_fingerprint: dict[str, set[str]] = {}
    for key in keys:
        by_fingerprint.setdefault(fingerprint(key), set()).add(key)
    gone: set[str] = set()
    for given in wanted:
        shown = given.strip().replace("...", "…")
        alike = by_fingerprint.get(shown, set())
        if len(alike) > 1:
            raise GatewayError(f"{len(alike)} keys look like {shown}", hint="give the key itself")
        gone |= keys & {_key_of(given)} or alike
    if not gone:
        return text, 0
    return "".join(line for line, key in lines if key not in gone), len(gone)


def _keyed_lines(text: str) -> Iterator[tuple[str, str | None]]:
    """Every line with its end, and the key on it."""
    # Not splitlines(), which also splits where a key file has no line end.
    for line in io.StringIO(text, newline="\n"):
        yield line, _key_of(line.removeprefix("\ufeff"))


def _key_of(line: str) -> str | None:
    try:
        found = parse_line(line, line.lstrip().startswith("{"))
    except BadLineError:
        return None
    return None if found is None else found[0]


def _looks_like_json(text: str) -> bool:
    lines = (line.lstrip("\ufeff \t\r") for line in text.split("\n"))
    return next((line.startswith("{") for line in lines if line and not line.startswith("#")), False)


def _quoted(value: str) -> str:
    """Nothing can stand for a double quote in such a line, so it becomes a single one."""
    value = value.replace('"', "'")
    return f'"{value}"' if " " in value or not value else value
