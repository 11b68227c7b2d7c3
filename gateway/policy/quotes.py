"""What other price lists say of a model, in one form, and whether it can be believed and charged.

What is priced by the second, the picture or the call cannot be charged by tokens; what costs nothing is not believed
either (in such lists 0 often means that nobody knows), nor an answer without a price, nor an amount that no million
tokens cost: its unit is another.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Final, NamedTuple

from gateway.policy.pricing import FALLBACKS, Price, nano, price_of

LOWEST: Final = Decimal("0.0005")
HIGHEST: Final = Decimal(2000)
"""For a million tokens. In 2026 they cost 0.002 to 600: a price of one token is below, one for a million that was taken
for that of one is above."""

WRONG_UNIT: Final = "no likely price of a million tokens"
RETIRED: Final = "no longer served"
STEPS: Final = "its steps are not understood"

NO_REGIONS: Final = r"[^/]+"
"""Names without a slash, where lists put regions, sizes of pictures and other vendors before one."""


class Vendor(NamedTuple):
    """What a provider type of ours is called in other lists; the first name that has a model wins.

    `names`: what its models' names look like in a request, where lists have others, too."""

    type: str
    litellm: tuple[str, ...] = ()
    genai: tuple[str, ...] = ()
    names: str = r".+"


VENDORS: Final = (
    Vendor("openai", ("openai", "text-completion-openai"), ("openai",), NO_REGIONS),
    Vendor("azure", ("azure", "azure_ai"), ("azure",), NO_REGIONS),
    Vendor("anthropic", ("anthropic",), ("anthropic",)),
    Vendor("gemini", ("gemini",), ("google",)),
    Vendor("deepseek", ("deepseek",), ("deepseek",)),
    Vendor("groq", ("groq",), ("groq",)),
    Vendor("mistral", ("mistral",), ("mistral",)),
    Vendor("xai", ("xai",), ("x-ai",)),
    Vendor("together", ("together_ai",), ("together",), r"(?!together-ai-).+"),  # by size
    Vendor("fireworks", ("fireworks_ai", "fireworks_ai-embedding-models"), ("fireworks",), r"accounts/.+"),
    Vendor("cerebras", ("cerebras",), ("cerebras",)),
    Vendor("nvidia", ("nvidia_nim",)),
    Vendor("perplexity", ("perplexity",), ("perplexity",)),
    Vendor("moonshot", ("moonshot",), ("moonshotai",)),
    Vendor("zhipu", ("bigmodel",), ("zhipuai",)),
    Vendor("zai", ("zai",), ("zai",)),  # the same vendor abroad: providers.NAME.prices = "zai"
    Vendor("dashscope", ("dashscope",)),
    Vendor("minimax", ("minimax",), ("minimax",)),
    Vendor("volcengine", ("volcengine",)),
    Vendor("cohere", ("cohere", "cohere_chat"), ("cohere",)),
    Vendor("ai21", ("ai21",)),
    Vendor("sambanova", ("sambanova",)),
    Vendor("deepinfra", ("deepinfra",)),
    Vendor("novita", ("novita",), ("novita",)),
    Vendor("hyperbolic", ("hyperbolic",)),
    Vendor("nebius", ("nebius",)),
    Vendor("featherless", ("featherless_ai",)),
    Vendor("cloudflare", ("cloudflare",), ("cloudflare",)),
    Vendor("databricks", ("databricks",), ("databricks",)),
    Vendor("openrouter", ("openrouter",), ("openrouter",), r"[^/]+/.+(?<!:batch)"),
    Vendor("vercel", ("vercel_ai_gateway",)),
)
"""Local servers are not in it: what they cost is known to those who run them."""


class Refused(Exception):
    """An entry that cannot be charged; the text says why."""


class Quoted(NamedTuple):
    """An entry of any list: amounts for a million tokens by bucket, tiers by what they are above."""

    said: dict[str, Decimal]
    tiers: dict[int, dict[str, Decimal]]
    request: Decimal = Decimal(0)
    max_input: int | None = None
    max_output: int | None = None
    answers: bool = True  # the model writes: an answer without a price is a gap


def to_price(quoted: Quoted) -> Price:
    """Raises Refused."""
    said = {bucket: quote for bucket, quote in quoted.said.items() if quote}
    if not said and not quoted.request:
        raise Refused("free, or not known")
    for kind in ("input", "output"):
        others = [said[name] for name in (f"{kind}_image", f"{kind}_audio") if name in said]
        if others:  # a picture's tokens are often reported as any others
            said.setdefault(kind, max(others))
    if quoted.answers and not {"input", "output"} <= said.keys():
        raise Refused("the answer or the prompt has no price")
    if "input" not in said:
        raise Refused("the prompt has no price")
    for bucket, other in FALLBACKS.items():  # said or not is the same here, but not in a tier
        if said.get(bucket) == said.get(other, said["input"]):
            said.pop(bucket, None)
    tiers = sorted(quoted.tiers.items())
    if tiers and tiers[0][0] < 1:
        raise Refused(STEPS)
    for amounts in (said, *(amounts for _, amounts in tiers)):
        if not all(LOWEST <= quote <= HIGHEST for quote in amounts.values() if quote):
            raise Refused(WRONG_UNIT)
    if not 0 <= quoted.request <= HIGHEST / 1000:
        raise Refused("no likely price of a request")
    return price_of(
        _in_nano(said),
        [(above, _in_nano(amounts)) for above, amounts in tiers],
        request=nano(quoted.request),
        max_input=quoted.max_input,
        max_output=quoted.max_output,
    )


def _in_nano(amounts: Mapping[str, Decimal]) -> dict[str, int]:
    """Without zeros: beside prices that are none, they are gaps."""
    return {bucket: nano(quote) for bucket, quote in amounts.items() if quote}


def amount(value: object, times: int = 1) -> Decimal:
    """Raises Refused for what is no amount. A float stands for the number that was written."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise Refused("a price is no number")
    try:
        number = Decimal(str(value)) * times
    except (ArithmeticError, ValueError):
        raise Refused("a price is no number") from None
    if not number.is_finite() or number < 0:
        raise Refused("a price is negative or not finite")
    return number


def tokens(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None
