"""Token usage of one answer, in buckets that do not overlap.

Providers count differently (OpenAI's prompt tokens include cached ones, Anthropic's exclude them), so the
dialects convert at the edge and everything inside adds these numbers without knowing who reported them.
`None` means "not reported"; 0 means the provider said zero. The two are never mixed up.
"""

from __future__ import annotations

from typing import NamedTuple

BYTES_PER_TOKEN = 4
"""Of English text; of other languages and of code there are fewer, so an estimate is rather too low."""


class Usage(NamedTuple):
    """Tokens by bucket; every bucket is disjoint from every other."""

    input_uncached: int | None = None
    cache_read: int | None = None
    cache_write_5m: int | None = None
    cache_write_1h: int | None = None
    input_audio: int | None = None
    output_text: int | None = None
    reasoning: int | None = None
    output_audio: int | None = None
    input_image: int | None = None
    output_image: int | None = None
    tool_prompt: int | None = None  # results of the provider's own tools, fed back as input (Gemini)

    @property
    def input(self) -> int:
        """All tokens that went in, cached or not."""
        return (
            (self.input_uncached or 0)
            + (self.cache_read or 0)
            + (self.cache_write_5m or 0)
            + (self.cache_write_1h or 0)
            + (self.input_audio or 0)
            + (self.input_image or 0)
            + (self.tool_prompt or 0)
        )

    @property
    def output(self) -> int:
        """All tokens that came out, reasoning included."""
        return (self.output_text or 0) + (self.reasoning or 0) + (self.output_audio or 0) + (self.output_image or 0)


def tokens_of(size: int) -> int:
    """About how many tokens so many bytes of text are."""
    return -(-size // BYTES_PER_TOKEN)
