"""What an API token looks like: `llmg-<public id>-<secret>`.

The public id finds the token's row without saying anything about the secret, and may be shown. The secret has 256
random bits, so a plain SHA-256 of the whole is enough to keep: there is nothing to guess.
"""

from __future__ import annotations

import re
from base64 import b32encode, urlsafe_b64encode
from collections.abc import Callable
from typing import NamedTuple

from gateway.secret import Secret

TOKEN = re.compile(rb"llmg-([a-z2-7]{12})-[A-Za-z0-9_-]{43}")

ID_BYTES = 8
"""Of which twelve characters of five bits are taken: as many tokens as anybody makes differ."""

SECRET_BYTES = 32


class NewToken(NamedTuple):
    """`secret` is the whole token, which nobody can be told again."""

    public_id: str
    secret: Secret


def make_token(entropy: Callable[[int], bytes]) -> NewToken:
    """`entropy` gives so many random bytes, such as `secrets.token_bytes`."""
    public_id = b32encode(entropy(ID_BYTES))[:12].decode().lower()
    secret = urlsafe_b64encode(entropy(SECRET_BYTES)).rstrip(b"=").decode()
    return NewToken(public_id, Secret(f"llmg-{public_id}-{secret}"))


def public_id_of(credential: bytes) -> str:
    """Empty for what is no API token of this form."""
    match = TOKEN.fullmatch(credential)
    return "" if match is None else match[1].decode()
