"""From a file and the environment to a `Config`: find, read, override, build, complete, validate.

Whatever the input, the only exception of a load is `ConfigError`, with every problem found. Files are only read.
The types of providers come as a table, because configuration lies below the providers.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from gateway.config.build import Builder, toml_value
from gateway.config.model import Config
from gateway.config.problems import Problems
from gateway.config.provider import ProviderConfig
from gateway.config.tomltext import key_path
from gateway.config.validate import ProviderFacts, validate
from gateway.errors import ConfigError, Problem, StartError
from gateway.quick import dataclass

VARIABLE = "LLMGATEWAY_CONFIG"
OVERRIDE = "LLMGATEWAY__"
PLACES = (Path("config.toml"), Path("/etc/llmgateway/config.toml"))
SYSTEM_SOCKET = Path("/run/llmgateway/admin.sock")
FIRST_STEPS = "`llmgateway config create openai:main` writes one, `llmgateway serve --demo` runs without"
MAX_BYTES = 16 << 20
"""Ten thousand providers written out in full stay below it; a device or a log file named by mistake does not."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """A configuration and its history: `origins` maps a setting to "file" or an environment variable (absent:
    default)."""

    config: Config
    origins: Mapping[str, str]


def named_config(explicit: str | None, environ: Mapping[str, str]) -> Path | None:
    """The file that --config or $LLMGATEWAY_CONFIG names, whether it exists or not."""
    named = explicit or environ.get(VARIABLE)
    return Path(named) if named else None


def find_config(explicit: str | None, environ: Mapping[str, str]) -> Path:
    """The configuration file: --config, $LLMGATEWAY_CONFIG, ./config.toml, /etc/llmgateway/config.toml."""
    named = named_config(explicit, environ)
    if named is not None:
        return named
    for place in PLACES:
        try:
            found = place.exists()
        except PermissionError:  # reading it will say so; "no configuration" would mislead
            found = True
        if found:
            return place
    raise ConfigError([Problem("config.toml", "", f"no configuration, neither here nor as {PLACES[-1]}", FIRST_STEPS)])


def config_if_any(explicit: str | None, environ: Mapping[str, str]) -> Path | None:
    """The same; None where there is none."""
    try:
        return find_config(explicit, environ)
    except ConfigError:
        return None


def load_config(path: Path, environ: Mapping[str, str], *, provider_types: Mapping[str, ProviderFacts]) -> Config:
    """The validated configuration of a file. Raises ConfigError with all problems, and nothing else."""
    return load(path, environ, provider_types=provider_types).config


def load(path: Path, environ: Mapping[str, str], *, provider_types: Mapping[str, ProviderFacts]) -> Loaded:
    """The same with the origin of each setting."""
    return parse(read_config(path), path, environ, provider_types)


def parse_config(
    text: str, path: Path, environ: Mapping[str, str], provider_types: Mapping[str, ProviderFacts]
) -> Config:
    """The same from a text; `path` is where relative paths start and what problems name."""
    return parse(text, path, environ, provider_types).config


def parse(text: str, path: Path, environ: Mapping[str, str], provider_types: Mapping[str, ProviderFacts]) -> Loaded:
    """The configuration that a text says, with the origin of each setting. Raises ConfigError with all problems."""
    problems = Problems(str(path))
    raw = parse_toml(text, path)
    try:
        path = path.absolute()
    except OSError as exc:  # the working directory is gone
        raise _unusable(path, f"cannot be located: {exc.strerror}") from exc
    texts = _override(raw, environ, problems)
    builder = Builder(problems, environ, path.parent, texts)
    config = builder.table(Config(path=path, state_dir=_state_dir(path, environ)), raw, "")
    config = replace(_complete(config, provider_types), masked=frozenset(builder.masked))
    validate(config, provider_types, problems, admin_sockets(environ, config.state_dir))
    problems.raise_if_any()
    return Loaded(config, builder.origins)


def read_config(path: Path) -> str:
    """The text of a configuration file. Raises ConfigError."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except FileNotFoundError as exc:
        raise _unusable(path, "there is no such file", FIRST_STEPS) from exc
    except PermissionError as exc:
        raise _unusable(path, "cannot be read: permission denied", "run as the user whom it is for") from exc
    except OSError as exc:
        raise _unusable(path, f"cannot be read: {exc.strerror or exc}") from exc
    except ValueError as exc:  # a NUL inside the path
        raise _unusable(path, "is no file name") from exc
    if len(data) > MAX_BYTES:
        raise _unusable(path, f"is larger than {MAX_BYTES} bytes", "is this the right file?")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        line = data.count(b"\n", 0, exc.start) + 1
        raise _unusable(path, f"is not UTF-8 (at line {line})", "save it as UTF-8") from exc


def parse_toml(text: str, path: Path) -> dict[str, Any]:
    """A TOML document as plain values. Raises ConfigError with line and column."""
    try:
        return tomllib.loads(text)
    except RecursionError as exc:
        raise _unusable(path, "is not valid TOML: nested too deeply") from exc
    except ValueError as exc:
        raise _unusable(path, f"is not valid TOML: {exc}") from exc


def _unusable(path: Path, message: str, hint: str = "") -> ConfigError:
    return ConfigError([Problem(str(path), "", message, hint)])


def _state_dir(path: Path, environ: Mapping[str, str]) -> Path:
    """systemd gives the folders of StateDirectory= as a colon-separated list; the first is ours."""
    first = environ.get("STATE_DIRECTORY", "").partition(":")[0]
    return Path(first) if first else path.parent / "state"


def admin_sockets(environ: Mapping[str, str], state_dir: Path) -> list[Path]:
    """Where the daemon may put its admin socket, the likeliest first, and commands look for one."""
    return [*_named_sockets(environ), SYSTEM_SOCKET, state_dir / "admin.sock"]


def admin_socket_path(environ: Mapping[str, str], state_dir: Path) -> Path:
    """Where the daemon puts its admin socket. Raises StartError when the path is longer than the kernel allows."""
    path = next(iter(_named_sockets(environ)), state_dir / "admin.sock")
    if len(os.fsencode(path)) > 107:  # sun_path in unix(7), less its final NUL
        raise StartError(
            "the path of the admin socket is too long", detail=str(path), hint="set LLMGATEWAY_SOCKET to a shorter one"
        )
    return path


def _named_sockets(environ: Mapping[str, str]) -> list[Path]:
    runtime = environ.get("RUNTIME_DIRECTORY", "").partition(":")[0]
    return [Path(path) for path in (environ.get("LLMGATEWAY_SOCKET"), runtime and f"{runtime}/admin.sock") if path]


def _override(raw: dict[str, Any], environ: Mapping[str, str], problems: Problems) -> dict[str, str]:
    """Write LLMGATEWAY__TABLE__KEY variables into the document, and give their texts by setting.

    In sorted order, so that a table given whole comes before a setting inside it.
    """
    texts = {}
    for variable in sorted(name for name in environ if name.startswith(OVERRIDE)):
        names = variable.removeprefix(OVERRIDE).lower().split("__")
        text = environ[variable]
        key = key_path(*names)
        problems.variables[key] = variable
        if not all(names):
            problems.add(key, "names no setting", f"write {OVERRIDE}TABLE__KEY, such as {OVERRIDE}QUEUE__TIMEOUT=5")
            continue
        try:
            text.encode()
        except UnicodeEncodeError:
            problems.add(key, "is not valid UTF-8")
            continue
        value = toml_value(text)
        texts[key] = text
        table = _table_at(raw, names[:-1])
        if table is None:
            problems.add(key, f"{key_path(*names[:-1])} is not a table")
        elif isinstance(value, dict) and isinstance(table.get(names[-1]), dict):
            table[names[-1]].update(value)
        else:
            table[names[-1]] = value
    return texts


def _table_at(raw: dict[str, Any], names: list[str]) -> dict[str, Any] | None:
    """The table at a path, made where it is missing; None: something else is there."""
    for name in names:
        inner: object = raw.setdefault(name, {})
        if not isinstance(inner, dict):
            return None
        raw = inner
    return raw


def _complete(config: Config, provider_types: Mapping[str, ProviderFacts]) -> Config:
    """Fill in the defaults that depend on other settings, and make paths absolute."""
    folder = config.path.parent
    server = config.server
    listen = tuple(
        f"unix:{_absolute(each[5:], folder)}" if each.startswith("unix:") else each for each in server.listen
    )
    tls = replace(server.tls, cert=_absolute(server.tls.cert, folder), key=_absolute(server.tls.key, folder))
    return replace(
        config,
        server=replace(server, listen=listen, tls=tls),
        inventory=replace(config.inventory, path=_absolute(config.inventory.path, folder)),
        auth=replace(config.auth, jwt=replace(config.auth.jwt, jwks_file=_absolute(config.auth.jwt.jwks_file, folder))),
        tokens={name: token if token.user else replace(token, user=name) for name, token in config.tokens.items()},
        providers={
            name: _complete_provider(name, provider, provider_types, folder)
            for name, provider in config.providers.items()
        },
    )


def _complete_provider(
    name: str, provider: ProviderConfig, provider_types: Mapping[str, ProviderFacts], folder: Path
) -> ProviderConfig:
    facts = provider_types.get(provider.type)
    keys, base_url = provider.keys, provider.base_url
    if facts is not None:
        keys = keys or (_usual_keys(name, folder) if facts.needs_keys else ())
        base_url = base_url or facts.base_url
    proxy = provider.proxy
    if proxy.listed:
        proxy = replace(proxy, file=_absolute(proxy.file or f"proxies/{name}.txt", folder))
    return replace(
        provider,
        name=name,
        keys=tuple(_absolute(each, folder) for each in keys),
        base_url=base_url.rstrip("/"),
        proxy=proxy,
    )


def _usual_keys(name: str, folder: Path) -> tuple[str, ...]:
    """Where the keys of a provider are that names no place: keys/NAME.txt, the folder keys/NAME, or both."""
    file, below = f"keys/{name}.txt", f"keys/{name}"
    try:
        has_folder, has_file = (folder / below).is_dir(), (folder / file).exists()
    except (OSError, ValueError):  # no permission, or a name that is none; reading the file will say so
        has_folder, has_file = False, True
    return ((file,) if has_file or not has_folder else ()) + ((below,) if has_folder else ())


def _absolute(path: str, folder: Path) -> str:
    """Relative to the configuration file's folder; an empty path stays empty."""
    return str(folder / path) if path else ""
