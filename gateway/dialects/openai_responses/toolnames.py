"""Names of tools as OpenAI takes them, and back: up to 64 letters, digits, `_` and `-`.

Other names are rewritten, and no two become the same.
Source: https://platform.openai.com/docs/api-reference/responses/create (tools)
"""

from __future__ import annotations

import re
from collections.abc import Iterable

MAX_NAME = 64

_FINE = re.compile(r"[A-Za-z0-9_-]{1,64}")
_WRONG = re.compile(r"[^A-Za-z0-9_-]")


def fitting_names(names: Iterable[str]) -> dict[str, str]:
    """The names that have to be rewritten, with what they become."""
    wanted = list(dict.fromkeys(names))
    taken = {name for name in wanted if _FINE.fullmatch(name)}
    fitting: dict[str, str] = {}
    for name in wanted:
        if name not in taken:
            fitting[name] = _free(_WRONG.sub("_", name)[:MAX_NAME] or "_", {*taken, *fitting.values()})
    return fitting


def _free(name: str, taken: set[str]) -> str:
    number, free = 2, name
    while free in taken:
        free = f"{name[: MAX_NAME - len(str(number)) - 1]}_{number}"
        number += 1
    return free
