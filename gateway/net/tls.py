"""TLS contexts for both sides. Files are read here and nowhere else; `ssl` is imported when the first one is needed.

TLS 1.2 at least (RFC 8996), and only HTTP/1.1 is offered (RFC 7301).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.config.model import TlsConfig
from gateway.errors import ConfigError, Problem

if TYPE_CHECKING:
    import ssl

PROTOCOLS = ["http/1.1"]


def server_context(config: TlsConfig) -> ssl.SSLContext:
    """A context that shows the certificate of `server.tls`. Raises ConfigError when it cannot be used."""
    import ssl

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(PROTOCOLS)
    load_certificate(context, config)
    return context


def load_certificate(context: ssl.SSLContext, config: TlsConfig) -> None:
    """Have a context show another certificate from now on; handshakes that are done keep theirs. Raises ConfigError."""
    import ssl

    try:
        # Without a password callback OpenSSL would ask for one on the terminal.
        context.load_cert_chain(config.cert, config.key, password=lambda: "")
    except ssl.SSLError as exc:
        hint = "the key must belong to the certificate and have no pass phrase"
        raise ConfigError([Problem(config.cert, "server.tls", f"certificate and key: {exc}", hint)]) from exc
    except (OSError, ValueError) as exc:
        raise ConfigError([Problem(config.cert, "server.tls", f"certificate and key: {exc}")]) from exc


def client_context() -> ssl.SSLContext:
    """A context that checks certificates against the system's authorities ($SSL_CERT_FILE, $SSL_CERT_DIR)."""
    import ssl

    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(PROTOCOLS)
    return context
