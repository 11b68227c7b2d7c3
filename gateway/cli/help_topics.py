"""`llmgateway help [TOPIC]`: the reference pages that come with the package."""

from __future__ import annotations

import argparse
import sys
from typing import Any


def add_parser(commands: Any) -> None:
    parser = commands.add_parser("help", help="the reference pages", description="Read a reference page.")
    parser.add_argument("topic", nargs="?", help="without one: the list of topics")
    parser.set_defaults(run=run)


def topics() -> dict[str, str]:
    """Topic to text. A page's first line is its title."""
    from importlib import resources

    pages = resources.files("gateway.docs")
    return {
        page.name.removesuffix(".md"): page.read_text("utf-8")
        for page in sorted(pages.iterdir(), key=lambda page: page.name)
        if page.name.endswith(".md")
    }


def run(args: argparse.Namespace) -> int:
    pages = topics()
    if args.topic is None:
        for name, text in pages.items():
            print(f"{name:12} {text.splitlines()[0].lstrip('# ')}")
        return 0
    if args.topic not in pages:
        print(f"error: there is no topic {args.topic!r}; topics: {', '.join(pages)}", file=sys.stderr)
        return 2
    print(pages[args.topic])
    return 0
