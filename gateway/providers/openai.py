"""The provider type "openai": OpenAI itself, and with another base URL everything that speaks its API.

Constants only: where it is, how it wants its key, and which headers travel through.
Source: https://platform.openai.com/docs/api-reference/introduction
"""

from __future__ import annotations

NAME = "openai"
BASE_URL = "https://api.openai.com/v1"
AUTH_HEADER = b"authorization"
AUTH_PREFIX = b"Bearer "

FORWARDED_TO_PROVIDER = (b"content-type", b"accept", b"user-agent", b"idempotency-key", b"openai-beta")
"""Of a client's headers these alone go on: none that names the client's credential, organisation or address."""

ADDED_TO_REQUEST = ((b"accept-encoding", b"identity"),)
"""An answer is looked into for usage and errors, and forwarded as it came: it must not be compressed."""

FORWARDED_TO_CLIENT = frozenset({b"content-type", b"content-encoding"})

FORWARDED_WITH_ERRORS = frozenset({b"retry-after", b"retry-after-ms"})
"""What SDKs obey before they try again. Rate-limit headers stay inside: they speak of one key among many."""

REQUEST_ID_HEADER = b"x-request-id"
"""The provider's own name for a call, which its support asks for; the client gets it under another name."""
