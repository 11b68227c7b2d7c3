"""How what a provider has signed travels through clients of another dialect, and back to that provider alone.

A client echoes what its own dialect knows: a signature where its dialect has one, and the ids of tool calls. So a
foreign signature is *sealed*: a text that names who made it, in base64, since Google's SDK decodes signatures. It goes
out in the client dialect's own place for signatures. Tool calls have none but Gemini's; their signatures go out

- in the Responses API, and to clients of Messages that think, in thoughts before the call that clients send back
  unread, as `SEAL.ID`. Ids must be short: Codex takes 256 bytes, Claude Code names files by them, and Google's
  signatures have thousands;
- elsewhere behind the id of the call, as `ID__thought__SEAL`, which is read in every dialect.

Where a provider speaks the client's dialect its answers pass as they are, unsealed, so that nobody can tell later which
of several servers of one dialect signed. For Claude, which refuses what others signed, a signature that is shorter than
any of its own counts as another's (`names.LEAST_SIGNATURE`); longer ones of other servers go through and are refused.

Reading takes everything for native that is not sealed. `unseal` never raises: a text that only looks like a seal is a
native signature that this gateway did not make.
"""

from __future__ import annotations

import base64
import binascii

from gateway.dialects.conversation import Signature
from gateway.dialects.names import SEALED

MARK = b"llmg1:"
SEPARATOR = "__thought__"
BOUND_TO = "."
"""Between a seal, which has no dot, and the id of the call that it is for."""


def seal(signature: Signature, provider: str) -> str:
    """A signature as a client of another dialect carries it; `provider` made it. Letters, digits, `-`, `_` and `=`."""
    text = f"{signature.dialect}:{signature.provider or provider}:{signature.data}"
    return base64.urlsafe_b64encode(MARK + text.encode("utf-8", "surrogatepass")).decode()


def unseal(text: str) -> Signature | None:
    """The signature in a seal, or None."""
    if not text.startswith(SEALED):
        return None
    standard = text.replace("-", "+").replace("_", "/")  # Google's SDK writes what it decoded in either alphabet
    try:
        inside = base64.b64decode(standard + "=" * (-len(standard) % 4), validate=True)
        dialect, provider, data = inside.removeprefix(MARK).decode("utf-8", "surrogatepass").split(":", 2)
    except (binascii.Error, ValueError):
        return None
    return Signature(data, dialect, provider)


def unsigned(provider: str) -> Signature:
    """What stands for a signature where the provider gave thoughts without one. Sealed, it tells them from thoughts of
    the provider whose dialect the client speaks, which would refuse them."""
    return Signature("", "", provider)


def read_signature(text: str, dialect: str) -> Signature:
    """What a client of `dialect` gives as a signature: one that was sealed, or else its dialect's own."""
    return unseal(text) or Signature(text, dialect)


def show_signature(signature: Signature, dialect: str, provider: str) -> str:
    """The same for the client: as it is where the client's dialect is that of the provider, sealed otherwise."""
    return signature.data if signature.dialect == dialect else seal(signature, provider)


def with_seal(call_id: str, signature: Signature | None, provider: str) -> str:
    """The id of a tool call that carries a signature."""
    return call_id if signature is None else f"{call_id}{SEPARATOR}{seal(signature, provider).rstrip('=')}"


def split_id(call_id: str) -> tuple[str, Signature | None]:
    """The id that the provider gave, and the signature that was put behind it."""
    bare, separator, sealed = call_id.rpartition(SEPARATOR + SEALED)  # an id may have a separator of its own
    if not separator:
        return call_id, None
    signature = unseal(SEALED + sealed)
    return (call_id, None) if signature is None else (bare, signature)


def bind(signature: Signature, call_id: str, provider: str) -> str:
    """The signature of a tool call for a place beside the call, which it is told by its id."""
    return f"{seal(signature, provider)}{BOUND_TO}{call_id}"


def unbind(text: str) -> tuple[str, Signature] | None:
    """The id of the call and its signature, or None for what was not bound to a call."""
    sealed, bound, call_id = text.partition(BOUND_TO)
    signature = unseal(sealed) if bound else None
    return None if signature is None else (call_id, signature)
