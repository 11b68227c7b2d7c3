"""Where the APIs of a provider are, and how a call to each proves whose it is: one `Endpoint` for each dialect.

A dialect's own paths follow its *root* and begin after the version: `/chat/completions`, `/responses`, `/models`;
`/messages`, `/messages/count_tokens`; `/models/M:generateContent`. The root is the version with what else the provider
puts before it, written relative to the base URL as it stands in a configuration. Where a key travels is the dialect's
custom, unless a vendor has one of its own.

Sources: https://platform.openai.com/docs/api-reference/authentication, https://platform.claude.com/docs/en/api/overview,
https://platform.claude.com/docs/en/api/versioning, https://ai.google.dev/api
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Final
from urllib.parse import quote

from gateway.quick import dataclass

Header = tuple[bytes, bytes]

CHAT: Final = "openai_chat"
RESPONSES: Final = "openai_responses"
ANTHROPIC: Final = "anthropic"
GEMINI: Final = "gemini"

DIALECTS = (CHAT, RESPONSES, ANTHROPIC, GEMINI)

MAIN_PATHS: Mapping[str, str] = {
    CHAT: "/chat/completions",
    RESPONSES: "/responses",
    ANTHROPIC: "/messages",
    GEMINI: "/models/",
}
"""What a call to a dialect is known by, after its root."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One dialect at one provider.

    `root` is relative to the path of the base URL: "" is that itself, `..` what is above it. `headers` go with every
    call that has not got them. `query` goes with every call, whatever the client says. Paths in `by_deployment` are
    below `/deployments/MODEL` (Azure). `models`, relative to the root, is where the models are listed; it may have a
    query.
    """

    root: str = ""
    auth_header: bytes = b"authorization"
    auth_prefix: bytes = b"Bearer "
    headers: tuple[Header, ...] = ()
    query: str = ""
    by_deployment: frozenset[str] = frozenset()
    models: str = "models"

    def below(self, base_path: str) -> Endpoint:
        """The same with `root` and `models` as paths at the origin, for a base URL that has the path `base_path`."""
        root = resolve(base_path, self.root)
        return replace(self, root=root, models=resolve(root, self.models))

    def place(self, path: str, model: str = "", query: str = "") -> tuple[str, str]:
        """Path at the origin and query of a call. `path` is the dialect's own, `query` the client's; the root must have
        been resolved."""
        if model and path in self.by_deployment:
            path = f"/deployments/{quote(model, safe='')}{path}"
        return self.root + path, join_query(query, self.query)

    def listing(self, page: str = "") -> tuple[str, str]:
        """Path at the origin and query of the list of models. `page` is the query that names a page."""
        path, _, query = self.models.partition("?")
        return path, join_query(join_query(page, query), self.query)

    def missing(self, headers: Iterable[Header]) -> list[Header]:
        """Those of the fixed headers that a call has not got."""
        if not self.headers:
            return []
        given = {name for name, _ in headers}
        return [header for header in self.headers if header[0] not in given]


def resolve(base_path: str, root: str) -> str:
    """Where `root` leads from a base URL's path: `/api/v1` and `../anthropic` make `/api/anthropic`.

    A root whose beginning ends the path already is not said twice, since people write addresses with and without the
    version: `/v1` and `v1` make `/v1`. Above the origin there is nothing.
    """
    segments = [segment for segment in base_path.split("/") if segment]
    wanted = [segment for segment in root.split("/") if segment]
    said = next((n for n in range(len(wanted), 0, -1) if segments[-n:] == wanted[:n]), 0)
    for segment in wanted[said:]:
        if segment == "..":
            del segments[-1:]
        else:
            segments.append(segment)
    return "".join(f"/{segment}" for segment in segments)


def join_query(given: str, fixed: str) -> str:
    """A client's query with the provider's part, which replaces fields of the same name."""
    if not fixed:
        return given
    names = {field.partition("=")[0] for field in fixed.split("&")}
    kept = [field for field in given.split("&") if field and field.partition("=")[0] not in names]
    return "&".join([*kept, fixed])


def dialect_at(path: str, endpoints: Mapping[str, Endpoint]) -> str:
    """The dialect that a path at the origin belongs to: whose main path it is or is below, else the one with the
    nearest root, else the first. The roots must have been resolved."""
    for dialect, endpoint in endpoints.items():
        if path.startswith(endpoint.root + MAIN_PATHS[dialect]):
            return dialect
    first, *others = endpoints
    best = first
    for dialect in others:
        root = endpoints[dialect].root
        if len(root) > len(endpoints[best].root) and path.startswith(f"{root}/"):
            best = dialect
    return best


OPENAI = Endpoint()
VERSION: Header = (b"anthropic-version", b"2023-06-01")
"""The version whose shapes `dialects/anthropic` writes and reads. Newer SDKs send another, which goes on as it is where
nothing is translated. https://platform.claude.com/docs/en/api/versioning"""


def messages_at(root: str) -> Endpoint:
    """Anthropic's Messages API, with the key where Anthropic's SDKs put an API key."""
    return Endpoint(root, b"x-api-key", b"", (VERSION,))


def messages_by_bearer(root: str) -> Endpoint:
    """The same with the key where they put an "auth token", as most other vendors have it."""
    return Endpoint(root, headers=(VERSION,))


def generate_at(root: str) -> Endpoint:
    """Gemini's API, with the key where Google's SDKs put it."""
    return Endpoint(root, b"x-goog-api-key", b"")
