"""The command line: parse arguments, do it or ask the daemon, print, exit codes.

Errors go to stderr, say what to do, and show no traceback (but with `python3 -X dev`). Exit codes: 0 ok, 1 error,
2 usage, 3 could not start and will not by itself, 4 could not start for now.
"""

from __future__ import annotations

import argparse
import io
import os
import sys
from collections.abc import Sequence

from gateway import __version__
from gateway.errors import ConfigError, GatewayError

INTERRUPTED = 130
"""What shells say of a program that SIGINT ended."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command. Returns its exit code; raises SystemExit for wrong usage and for --help."""
    if isinstance(getattr(sys.stdout, "buffer", None), io.RawIOBase):
        _buffer_stdout()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # fingerprints have a "…", which not every terminal can show
    words = sys.argv[1:] if argv is None else argv
    parser = build_parser(serving=list(words[:1]) == ["serve"])
    args = parser.parse_args(words)
    if not hasattr(args, "run"):
        parser.print_help(sys.stderr)
        return 2
    try:
        code: int = args.run(args)
        sys.stdout.flush()
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:  # the reader (head, less) has what it wanted
        _give_up_stdout()
        return 0
    except Exception as error:
        if sys.flags.dev_mode:
            raise
        return _explain(error)
    return code


def _buffer_stdout() -> None:
    """PYTHONUNBUFFERED takes away what goes on with a write that was cut short, as when the command is stopped and
    continued while nobody reads: the rest would be lost."""
    raw = io.FileIO(sys.stdout.fileno(), "w", closefd=False)
    sys.stdout = io.TextIOWrapper(io.BufferedWriter(raw), sys.stdout.encoding, line_buffering=sys.stdout.isatty())


def _explain(error: Exception) -> int:
    """Say on stderr what went wrong. Returns the exit code."""
    texts, hint, code = [str(error)], "", 1
    if isinstance(error, GatewayError):
        hint, code = error.hint, error.exit_code
        problems = [str(problem) for problem in getattr(error, "problems", ())]
        texts = problems if isinstance(error, ConfigError) else texts + problems
    elif isinstance(error, OSError):
        texts = [": ".join(str(part) for part in (error.strerror, error.filename) if part) or repr(error)]
        _give_up_stdout()
    else:
        texts = [f"unexpected {type(error).__name__}: {error}"]
        hint = "this is a bug; please report it with the output of the same command under python3 -X dev -m gateway"
    for text in texts:
        print(f"error: {text}", file=sys.stderr)
    if hint:
        print(f"hint: {hint}", file=sys.stderr)
    return code


def _give_up_stdout() -> None:
    """What cannot be written (a pipe nobody reads, a full disk) must not be tried again when Python exits."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def build_parser(*, serving: bool = False) -> argparse.ArgumentParser:
    """The whole command tree, or only the part that a daemon needs, which starts a tenth faster so."""
    from gateway.cli import serve
    from gateway.cli.parser import Parser

    parser = Parser(
        prog="llmgateway",
        description="One dependable address for clients of OpenAI, Anthropic and Google, before many unstable keys.",
    )
    parser.add_argument("--version", action="version", version=f"llmgateway {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    serve.add_parser(commands)
    if not serving:
        from gateway.cli import (
            breakers,
            cache,
            config,
            help_topics,
            keys,
            maintenance,
            prices,
            proxies,
            routes,
            status,
            tokens,
            usage,
            users,
        )

        for module in (
            config,
            status,
            keys,
            proxies,
            breakers,
            routes,
            users,
            tokens,
            usage,
            prices,
            cache,
            maintenance,
            help_topics,
        ):
            module.add_parser(commands)
    return parser
