"""How this program was called, for texts that say what to type next."""

from __future__ import annotations

import shlex
import shutil
import sys
from pathlib import Path


def program() -> str:
    """What to type in the same folder to run it once more."""
    called = Path(sys.argv[0])
    if called.name == "__main__.py":
        return f"{sys.executable} -m gateway"
    if called.suffix in (".py", ".pyz"):
        return f"{sys.executable} {shlex.quote(sys.argv[0])}"
    found = shutil.which(called.name)
    return called.name if found and Path(found).samefile(called) else shlex.quote(sys.argv[0])
