"""References inside configuration strings, so that secrets need not stand in the file.

    ${VAR}               an environment variable; unset is an error
    ${VAR:-default}      the default where the variable is unset or empty, as in a shell
    ${file:/path}        a file's content without its trailing newline; relative paths: to the configuration
    ${credential:NAME}   a systemd credential: $CREDENTIALS_DIRECTORY/NAME
    $${                  a literal ${

What a reference yields is not looked into for further references. Messages name the reference, never its value.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from gateway.quick import dataclass

REFERENCE = re.compile(r"\$\$\{|\$\{([^}]*)(\}?)")
VARIABLE = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)(?::-(.*))?", re.DOTALL)
MAX_FILE_BYTES = 1 << 20
"""A secret or a certificate is far smaller; this keeps ${file:/dev/zero} from filling memory."""

FORMS = "write ${VAR}, ${VAR:-default}, ${file:/path}, ${credential:NAME}, or $${ for a literal ${"


class Unresolved(Exception):
    """A reference that leads nowhere; `hint` says what to do."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


@dataclass(frozen=True, slots=True)
class Resolved:
    """The text with its references replaced. `secret`: part of it came from a file or a credential."""

    text: str
    secret: bool = False


def interpolate(text: str, environ: Mapping[str, str], folder: Path) -> Resolved:
    """Replace every reference in `text`. `folder` is where relative ${file:} paths start. Raises Unresolved."""
    if "${" not in text:
        return Resolved(text)
    secret = False

    def replace(match: re.Match[str]) -> str:
        nonlocal secret
        if match[0] == "$${":
            return "${"
        if not match[2]:
            raise Unresolved("has a ${ without its }", FORMS)
        scheme, colon, rest = match[1].partition(":")
        if colon and scheme in READERS:
            secret = True
            return READERS[scheme](rest, environ, folder)
        return _variable(match[1], environ)

    return Resolved(REFERENCE.sub(replace, text), secret)


def _variable(inner: str, environ: Mapping[str, str]) -> str:
    match = VARIABLE.fullmatch(inner)
    if match is None or (match[2] and "${" in match[2]):
        name, separator, _ = inner.partition(":-")  # what follows may be meant as a secret
        raise Unresolved(f"${{{name}{separator and ':-…'}}} is no reference", FORMS)
    name, default = match.groups()
    value = environ.get(name)
    if default is not None and not value:
        return str(default)
    if value is None:
        raise Unresolved(f"the variable {name} is not set", f"set it, or give a default: ${{{name}:-…}}")
    if not value.isascii() and not _is_unicode(value):
        raise Unresolved(f"the variable {name} is not valid UTF-8")
    return value


def _is_unicode(value: str) -> bool:
    """Whether the environment's bytes were UTF-8: Python smuggles others in as lone surrogates."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _file(name: str, environ: Mapping[str, str], folder: Path) -> str:
    if not name:
        raise Unresolved("${file:} names no file", "write ${file:/path}")
    return _content(folder / name, str(folder / name))


def _credential(name: str, environ: Mapping[str, str], folder: Path) -> str:
    directory = environ.get("CREDENTIALS_DIRECTORY")
    if not name or "/" in name or name in (".", ".."):
        raise Unresolved(f"${{credential:{name}}} names no credential", "a credential's name is a plain file name")
    if not directory:
        raise Unresolved(
            f"the credential {name} is not there: $CREDENTIALS_DIRECTORY is not set",
            f"systemd sets it for a unit with LoadCredential={name}:/path",
        )
    return _content(Path(directory) / name, f"the credential {name}")


def _content(path: Path, shown: str) -> str:
    """A small text file without its trailing newline."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
        text = data.decode("utf-8-sig")
    except OSError as exc:
        raise Unresolved(f"{shown} cannot be read: {exc.strerror or exc}") from exc
    except ValueError as exc:  # a path with NUL, or content that is not UTF-8
        raise Unresolved(f"{shown} cannot be read as UTF-8 text") from exc
    if len(data) > MAX_FILE_BYTES:
        raise Unresolved(f"{shown} is larger than {MAX_FILE_BYTES} bytes")
    return text.removesuffix("\n").removesuffix("\r")


READERS = {"file": _file, "credential": _credential}
