"""What must be true of [server] beyond the type and range of each setting: listeners, limits, TLS.

This is where validation looks at the disk: at the certificate files, and at where the paths of sockets lead. Nothing
is bound.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from gateway.config.listen import Listener, is_host, is_network, overlap, parse_listen
from gateway.config.model import Config, ServerConfig, TlsConfig
from gateway.config.problems import Problems, items

ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://(\[[0-9a-f:.]+\]|[A-Za-z0-9._-]+)(:[0-9]{1,5})?")


def check_server(config: Config, admin_sockets: Sequence[Path], problems: Problems) -> None:
    """File what is wrong with `config.server`. `admin_sockets`: where no client may listen."""
    _check_listeners(config, admin_sockets, problems)
    _check_limits(config.server, problems)
    _check_tls(config, problems)


def check_path(config: Config, key: str, problems: Problems) -> None:
    """Paths stand in logs, listings and messages, and whoever writes a reference here mostly has the content."""
    if config.is_masked(key):
        problems.add(key, "is a path, which cannot come from a secret", 'write it out: "/path" or "${FOLDER}/name"')


def _check_listeners(config: Config, admin_sockets: Sequence[Path], problems: Problems) -> None:
    if not config.server.listen:
        problems.add("server.listen", "names no address", 'write listen = ["127.0.0.1:8000"]')
    taken = {os.path.realpath(path) for path in admin_sockets}
    seen: dict[Listener, str] = {}
    for key, spec in items("server.listen", config.server.listen):
        try:
            listener = parse_listen(spec)
        except ValueError as exc:
            problems.add(key, str(exc), 'write "host:port", "[::1]:8000", "unix:/path" or "fd:NAME"')
            continue
        if listener.kind == "unix":
            listener = replace(listener, path=os.path.realpath(listener.path))
            if listener.path in taken:
                problems.add(key, "is the place of the admin socket", "choose another file")
        other = next((other for each, other in seen.items() if overlap(listener, each)), None)
        if other is not None:
            what = "is listed twice" if listener in seen else f"overlaps with {other}"
            problems.add(key, what, "leave one of them out")
        seen.setdefault(listener, key)


def _check_limits(server: ServerConfig, problems: Problems) -> None:
    for key, host in items("server.allowed_hosts", server.allowed_hosts):
        if not is_host(host) and not is_network(host.removeprefix("[").removesuffix("]")):
            problems.add(key, "is not a host name", 'write it without scheme and port, such as "llm.example.org"')
    for key, origin in items("server.cors_origins", server.cors_origins):
        if origin != "*" and not ORIGIN.fullmatch(origin):
            problems.add(key, "is not an origin", 'write "https://chat.example.org", without a path, or "*"')
    for key, network in items("server.trusted_proxies", server.trusted_proxies):
        if not is_network(network):
            problems.add(key, "is not an address or network", 'write "10.0.0.7" or "10.0.0.0/8"')
    if server.max_buffered_bytes < server.max_body_bytes:
        problems.add(
            "server.max_buffered_bytes",
            "is smaller than server.max_body_bytes, so that the largest bodies could never be taken",
            f"make it at least {server.max_body_bytes}",
        )


def _check_tls(config: Config, problems: Problems) -> None:
    tls = config.server.tls
    for name in ("cert", "key"):
        check_path(config, f"server.tls.{name}", problems)
    for name, path, other in (("cert", tls.cert, tls.key), ("key", tls.key, tls.cert)):
        if not path and other:
            problems.add(f"server.tls.{name}", "is missing", "TLS needs both cert and key")
        elif path:
            try:
                if Path(path).is_file():  # opening a FIFO would wait for its writer
                    Path(path).open("rb").close()
                else:
                    problems.add(f"server.tls.{name}", "is no file", f"it leads to {path}")
            except OSError as exc:
                problems.add(f"server.tls.{name}", f"cannot be read: {exc.strerror or exc}", f"it leads to {path}")
    if tls.cert and not any(problems.has(f"server.tls.{name}") for name in ("cert", "key")):
        _check_certificate(tls, problems)


def _check_certificate(tls: TlsConfig, problems: Problems) -> None:
    import ssl

    try:
        # Without a password callback OpenSSL would ask for one on the terminal.
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(tls.cert, tls.key, password=lambda: "")
    except ssl.SSLError as exc:
        if exc.reason == "KEY_VALUES_MISMATCH":
            problems.add("server.tls", "the key does not belong to the certificate", f"they are {tls.cert}, {tls.key}")
        else:
            hint = f"both must be PEM, the key without a pass phrase: {tls.cert}, {tls.key}"
            problems.add("server.tls", "certificate and key cannot be used", hint)
    except OSError as exc:  # gone since
        problems.add("server.tls", f"certificate and key cannot be read: {exc.strerror or exc}")
