"""Names of functions as Google takes them, and back.

A name begins with a letter or an underscore and has letters, digits, `_`, `.`, `:` and `-`, up to 64 of them (Google
documents 128 by now; older models and Vertex AI take 64). Others are rewritten, and no two become the same.
Source: https://ai.google.dev/api/caching#FunctionDeclaration
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

MAX_NAME = 64

_FINE = re.compile(r"[A-Za-z_][A-Za-z0-9_.:-]*")
_WRONG = re.compile(r"[^A-Za-z0-9_.:-]")


def fitting_names(names: Iterable[str]) -> Mapping[str, str]:
    """The name that Google gets for each of the client's names."""
    wanted = list(dict.fromkeys(names))
    taken = {name for name in wanted if is_fine(name)}
    fitting: dict[str, str] = {}
    for name in wanted:
        fitting[name] = name if is_fine(name) else _free(_rewritten(name), taken)
        taken.add(fitting[name])
    return fitting


def is_fine(name: str) -> bool:
    return len(name) <= MAX_NAME and _FINE.fullmatch(name) is not None


def _rewritten(name: str) -> str:
    fine = _WRONG.sub("_", name)
    return (fine if _FINE.match(fine) else f"_{fine}")[:MAX_NAME]


def _free(name: str, taken: set[str]) -> str:
    number = 2
    free = name
    while free in taken:
        free = f"{name[: MAX_NAME - len(str(number)) - 1]}_{number}"
        number += 1
    return free
