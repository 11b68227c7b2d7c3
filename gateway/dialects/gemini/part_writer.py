"""Parts of an answer for a client of this dialect.

Signatures of other providers go out sealed, as the `thoughtSignature` of the part that they belong to; redacted
thinking is a seal on an empty text. Google's field holds bytes, so everything in it is base64.
"""

from __future__ import annotations

from gateway import jsonlib
from gateway.dialects import custom_tools
from gateway.dialects.continuity import show_signature
from gateway.dialects.conversation import (
    Audio,
    Document,
    Image,
    Opaque,
    Part,
    RedactedThinking,
    Refusal,
    Signature,
    Text,
    Thinking,
    ToolCall,
)
from gateway.dialects.gemini.media import write_medium
from gateway.dialects.gemini.models import NEWER
from gateway.dialects.losses import Losses
from gateway.dialects.names import Json

MALFORMED = "INVALID_JSON"
"""Under which name arguments stand that the model wrote and that are no object: Google's `args` can be nothing else."""


def write_part(part: Part, provider: str, losses: Losses) -> Json | None:
    """A part of an answer; None for what the client has no word for, with a loss."""
    match part:
        case Text(text, signature=signature):
            return {"text": text, **write_signature(signature, provider)}
        case Refusal(text):
            return {"text": text}
        case Thinking(text, signature):
            return {"text": text, "thought": True, **write_signature(signature, provider)}
        case RedactedThinking(signature):
            return {"text": "", **write_signature(signature, provider)}
        case ToolCall():
            return write_call(part, provider)
        case Image() | Document() | Audio():
            written = write_medium(part, "", NEWER, Losses())
            if written is not None:
                return {**written, **write_signature(getattr(part, "signature", None), provider)}
        case Opaque(dialect, value) if dialect == "gemini":
            return value
    losses.unshown(part)
    return None


def write_signature(signature: Signature | None, provider: str) -> Json:
    return {} if signature is None else {"thoughtSignature": show_signature(signature, "gemini", provider)}


def write_call(call: ToolCall, provider: str) -> Json:
    """A call with its id, which the client gives back with the result."""
    function = {"id": call.id, "name": call.name, "args": _arguments(call)}
    return {"functionCall": function, **write_signature(call.signature, provider)}


def _arguments(call: ToolCall) -> Json:
    if call.custom:
        return custom_tools.wrap(call.arguments)
    if not call.arguments.strip():
        return {}
    try:
        args = jsonlib.loads(call.arguments)
    except ValueError:
        args = None
    return args if isinstance(args, dict) else {MALFORMED: call.arguments}
