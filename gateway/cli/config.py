"""`llmgateway config`: write, look at and check the configuration file.

Edits happen in this process, keep the file's owner and mode, and keep every line that they are not about.
The daemon that runs with this very file is then asked to reload; no other one is.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from gateway.errors import ConfigError, GatewayError

if TYPE_CHECKING:
    import argparse

    from gateway.config.load import Loaded
    from gateway.config.model import Config
    from gateway.config.provider import ProviderConfig

WHEN_IT_COUNTS = "the change counts from the gateway's next start, or 'llmgateway reload'"
KEY_FILE = "# one key a line; what follows a # is a comment\n"


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Register `config` and its commands."""
    parser = subparsers.add_parser("config", help="write, look at and check the configuration file")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    create = commands.add_parser("create", help="add providers to the file, or write a new one")
    create.add_argument("providers", nargs="+", metavar="TYPE:NAME", help="such as openai:main")
    create.add_argument("--full", action="store_true", help="write every setting with its default and a comment")
    create.set_defaults(run=run_create)

    remove = commands.add_parser("remove", help="take providers' tables out of the file")
    remove.add_argument("names", nargs="+", metavar="NAME")
    remove.set_defaults(run=run_remove)

    listing = commands.add_parser("list", help="the providers in the file")
    listing.add_argument("--json", action="store_true", help="for programs")
    listing.set_defaults(run=run_list)

    check = commands.add_parser("check", help="everything that is wrong with the file, at once")
    check.add_argument("--connect", action="store_true", help="also try to reach every provider, through its proxies")
    check.set_defaults(run=run_check)

    show = commands.add_parser("show", help="the effective configuration, without secrets")
    show.add_argument("--origins", action="store_true", help="say where each setting comes from")
    show.set_defaults(run=run_show)

    for command in (create, remove):
        command.add_argument("--socket", metavar="PATH", help="the admin socket of the daemon to reload")
    for command in (create, remove, listing, check, show):
        command.add_argument("--config", metavar="FILE", help="default: $LLMGATEWAY_CONFIG, ./config.toml, /etc/…")


def run_create(args: argparse.Namespace) -> int:
    """Append the providers, make their key files, and say what to do next."""
    from gateway.cli.program import program
    from gateway.config.create import create_config, parse_specs
    from gateway.config.load import read_config
    from gateway.providers import PROVIDER_FACTS

    try:
        specs = parse_specs(args.providers, PROVIDER_FACTS)
    except ConfigError as error:
        _print_problems(error)
        return 2
    path = _file_to_create(args.config)
    text = read_config(path) if path.exists() else None
    _write(path, create_config(text, args.providers, args.full, PROVIDER_FACTS, path))
    key_files = [path.parent / "keys" / f"{name}.txt" for kind, name in specs if PROVIDER_FACTS[kind].needs_keys]
    for kind, name in specs:
        print(f"{path}: added the provider {name} ({kind})")
    for key_file in key_files:
        if _create_key_file(key_file):
            print(f"{key_file}: created")
        print(f"next: put your keys into {key_file}, one a line")
    for kind, name in specs:
        if PROVIDER_FACTS[kind].needs_keys and not PROVIDER_FACTS[kind].base_url:
            print(f"next: fill in the base_url of {name} in {path}")
    named = f" --config {path}" if args.config else ""
    print(f"next: {program()} config check{named}; then {program()} serve{named}")
    ask_for_reload(args, path)
    return 0


def run_remove(args: argparse.Namespace) -> int:
    """Cut the providers out, all or none. Key files stay."""
    from gateway.config.create import remove_provider
    from gateway.config.load import find_config, read_config

    path = find_config(args.config, os.environ)
    text, names = read_config(path), list(dict.fromkeys(args.names))
    with_keys = _with_key_files(args)
    for name in names:
        text = remove_provider(text, name, path)
    _write(path, text)
    for name in names:
        print(f"{path}: removed the provider {name}{'; its key files were left alone' if name in with_keys else ''}")
    try:
        _load(args)
    except ConfigError as error:
        print("the file now has problems, to be solved before the next start:", file=sys.stderr)
        _print_problems(error)
        return 0
    ask_for_reload(args, path)
    return 0


def _with_key_files(args: argparse.Namespace) -> set[str]:
    """The providers that have some that are there, as far as a file that may have problems tells."""
    try:
        providers = _load(args).config.providers.values()
    except ConfigError:
        return set()
    return {each.name for each in providers if any(map(os.path.lexists, each.keys))}


def run_list(args: argparse.Namespace) -> int:
    """The providers, as a table or as JSON."""
    from gateway.cli.table import print_json, print_table
    from gateway.config.tomltext import key_path

    config = _load(args).config
    if args.json:
        print_json([_as_json(config, provider) for provider in config.providers.values()])
        return 0
    rows = []
    for each in config.providers.values():
        base_url = config.shown(f"{key_path('providers', each.name)}.base_url", each.base_url)
        enabled = "yes" if each.enabled else "no"
        rows.append((each.name, each.type, enabled, base_url or "-", ", ".join(each.keys) or "-"))
    print_table(("NAME", "TYPE", "ENABLED", "BASE URL", "KEYS"), rows)
    return 0


def run_check(args: argparse.Namespace) -> int:
    """Exit code 0, a summary and warnings about key files, proxy files, routes and prices, or 3 and every problem on a
    line of its own; 1 if a provider cannot be reached."""
    from gateway.cli.filecheck import check_files, warn_of_unlisted, warn_of_unpriced

    try:
        config = _load(args).config
    except ConfigError as error:
        _print_problems(error)
        return error.exit_code
    print(f"{config.path}: ok, {_summary(config)}")
    check_files(config)
    warn_of_unlisted(config)
    warn_of_unpriced(config)
    if not args.connect:
        return 0
    from gateway.cli.connect import check_connections

    return 0 if check_connections(config) else 1


def run_show(args: argparse.Namespace) -> int:
    from gateway.config.show import show_config

    sys.stdout.write(show_config(_load(args), args.origins))
    return 0


def _load(args: argparse.Namespace) -> Loaded:
    from gateway.config.load import find_config, load
    from gateway.providers import PROVIDER_FACTS

    return load(find_config(args.config, os.environ), os.environ, provider_types=PROVIDER_FACTS)


def _file_to_create(explicit: str | None) -> Path:
    """The file that would be used, or where it would be looked for first."""
    from gateway.config.load import PLACES, find_config, named_config

    named = named_config(explicit, os.environ)
    if named is not None:
        return named
    try:
        return find_config(None, os.environ)
    except ConfigError:
        return PLACES[0]


def _write(path: Path, text: str) -> None:
    from gateway.config.files import write_atomically

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, text)
    except OSError as exc:
        hint = "run as the user whom the file belongs to" if isinstance(exc, PermissionError) else ""
        raise GatewayError(f"{path} cannot be written", detail=exc.strerror or str(exc), hint=hint) from exc


def _create_key_file(path: Path) -> bool:
    """Make an empty key file that only its owner can read; False: there is one already."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        return False
    except OSError as exc:
        raise GatewayError(f"{path} cannot be created", detail=exc.strerror or str(exc)) from exc
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(KEY_FILE)
    return True


def ask_for_reload(args: argparse.Namespace, path: Path, done: str = "") -> None:
    """The file is what counts; the daemon that runs with it takes it over at once, or says why it cannot.

    `done` is what to say of a change that is not in the configuration itself."""
    from gateway.cli.admin import DaemonError, call_for
    from gateway.cli.status import changes_in_words

    try:
        answer = call_for(path, args, "/admin/reload")
    except DaemonError as error:
        print(f"note: {error}; {WHEN_IT_COUNTS}", file=sys.stderr)
        for problem in error.problems:
            print(problem, file=sys.stderr)
        return
    print(done or f"the daemon has reloaded; {changes_in_words(answer)}")


def _summary(config: Config) -> str:
    from gateway.cli.table import count
    from gateway.config.validate import auth_is_on

    providers = list(config.providers.values())
    off = sum(not provider.enabled for provider in providers)
    return (
        f"{count(len(providers), 'provider')}{f' ({off} not enabled)' if off else ''}, "
        f"{count(len(config.tokens), 'API token')}, auth {'on' if auth_is_on(config) else 'off'}, "
        f"billing {'on' if config.billing.enabled else 'off'}, "
        f"listening on {', '.join(config.all_shown('server.listen', config.server.listen))}"
    )


def _as_json(config: Config, provider: ProviderConfig) -> Mapping[str, object]:
    from gateway.config.tomltext import key_path

    key = key_path("providers", provider.name)
    return {
        "name": provider.name,
        "type": provider.type,
        "enabled": provider.enabled,
        "base_url": config.shown(f"{key}.base_url", provider.base_url),
        "keys": provider.keys,
        "models": config.all_shown(f"{key}.models", provider.models),
        "default_model": config.shown(f"{key}.default_model", provider.default_model),
        "priority": provider.priority,
    }


def _print_problems(error: ConfigError) -> None:
    for problem in error.problems:
        print(problem, file=sys.stderr)
