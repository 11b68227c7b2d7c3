"""`/p/PROVIDER/…`: any API of a provider, as it is. Only the host and the credentials change.

The path after the provider's name is the path at the provider's origin, so an SDK's base URL becomes
`http://127.0.0.1:8000/p/main/v1`. The key still comes from the pool, and verdicts still teach it.
"""

from __future__ import annotations

from gateway.api.inbound import Inbound
from gateway.conductor.answerheaders import KEPT_INSIDE, named_hop_by_hop
from gateway.conductor.ask import Ask
from gateway.conductor.auth import without_credential
from gateway.conductor.conductor import Conductor
from gateway.errors import RequestError
from gateway.net.connection import Reply
from gateway.providers.openai import ADDED_TO_REQUEST

NOT_FORWARDED = KEPT_INSIDE | frozenset(
    {
        b"host", b"expect", b"cookie", b"cookie2", b"authorization", b"proxy-authorization", b"x-api-key", b"api-key",
        b"x-goog-api-key", b"forwarded", b"x-forwarded-for", b"x-forwarded-host", b"x-forwarded-proto", b"x-real-ip",
        b"origin", b"referer", b"accept-encoding",
    }
)  # fmt: skip
"""Request headers that end here: hop-by-hop, credentials, cookies, and where the client sits; and the wish for a
compressed answer, in which a provider that repeats the key could not be seen."""

METHODS_HERE = frozenset({"TRACE", "CONNECT"})
"""Methods that are for us, not for the provider: one sends back what the provider was sent, key and all (RFC 9110,
9.3.8), the other asks for a tunnel."""

ALLOWED = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"


class PassthroughSurface:
    def __init__(self, conductor: Conductor) -> None:
        self._conductor = conductor

    async def any(self, inbound: Inbound, reply: Reply) -> None:
        """Any method but METHODS_HERE, any path of a provider."""
        provider, slash, rest = inbound.path.removeprefix("/p/").partition("/")
        if not provider or not slash:
            raise RequestError(404, "not_found", "The path is /p/PROVIDER/ and then the provider's own path.")
        request = inbound.request
        if request.method.upper() in METHODS_HERE:
            raise RequestError(
                405, "method_not_allowed", f"{request.method} is not for this path.", extra={"allow": ALLOWED}
            )
        if inbound.identity.models:  # nobody looks into the body, so nobody would see another model in it
            raise RequestError(403, "permission_denied", "This API token is for certain models, and not for /p/.")
        dropped = NOT_FORWARDED | named_hop_by_hop(inbound.fields.get(b"connection"))
        headers = tuple(header for header in request.headers if header[0] not in dropped) + ADDED_TO_REQUEST
        await self._conductor.serve(
            Ask(
                request.method.encode(),
                None,
                "/" + rest,
                without_credential(request.query),
                headers,
                request.body,
                "",
                "raw",
                inbound.identity,
                provider=provider,
            ),
            reply,
            inbound.record,
        )
