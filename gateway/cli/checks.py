"""Following a check that the daemon makes for the operator."""

from __future__ import annotations

import argparse
import sys
from typing import Any
from urllib.parse import urlencode

from gateway.cli.admin import call
from gateway.cli.table import show_progress

POLL_SECONDS = 0.3
"""Between two looks at how far a check is."""


def follow_check(args: argparse.Namespace, check: str, title: str) -> Any:
    """Wait for its end, with a progress bar where somebody looks.

    {"total", "done", "outcomes": {outcome: n}, "benched": {status: n}}; the last is for keys.
    """
    import time

    path = f"/admin/checks?{urlencode({'check': check})}"
    while True:
        checked = call(args, "GET", path)
        if sys.stderr.isatty():
            show_progress(title, checked["done"], checked["total"])
        if checked["ended"]:
            if sys.stderr.isatty():
                print(file=sys.stderr)
            return checked
        time.sleep(POLL_SECONDS)
