"""The command line: parse arguments, do it or ask the daemon, print, exit codes.

Errors go to stderr, say what to do, and show no traceback. Exit codes: 0 ok, 1 error, 2 usage, 3 could not start and
will not by itself, 4 could not start for now.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from gateway import __version__
from gateway.errors import ConfigError, GatewayError


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command. Returns its exit code."""
    parser = build_parser()
    args = parser.parse_args(argv)
    if not hasattr(args, "run"):
        parser.print_help(sys.stderr)
        return 2
    try:
        code: int = args.run(args)
    except ConfigError as error:
        for problem in error.problems:
            print(f"error: {problem}", file=sys.stderr)
        return error.exit_code
    except GatewayError as error:
        print(f"error: {error}", file=sys.stderr)
        if error.hint:
            print(f"hint: {error.hint}", file=sys.stderr)
        return error.exit_code
    except PermissionError as error:
        print(f"error: {error.strerror}: {error.filename}", file=sys.stderr)
        return 1
    except BrokenPipeError:
        # The reader (head, less) has what it wanted; Python must not complain about it at exit either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        return 130
    return code


def build_parser() -> argparse.ArgumentParser:
    """The whole command tree."""
    from gateway.cli import config, help_topics, keys, serve, status

    parser = argparse.ArgumentParser(
        prog="llmgateway",
        description="One dependable, OpenAI-compatible address in front of many unstable provider keys.",
    )
    parser.add_argument("--version", action="version", version=f"llmgateway {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    for module in (serve, config, status, keys, help_topics):
        module.add_parser(commands)
    return parser
