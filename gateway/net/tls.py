"""TLS contexts for both sides. The certificates of providers are always verified."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.errors import StartError

if TYPE_CHECKING:
    import ssl

    from gateway.config.model import TlsConfig


def client_context() -> ssl.SSLContext:
    """For calls to providers: the system's authorities, host names checked, TLS 1.2 at least."""
    import ssl

    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    return context


def server_context(config: TlsConfig) -> ssl.SSLContext | None:
    """For clients, None without a certificate. Raises StartError for files that cannot be used."""
    if not config.cert:
        return None
    import ssl

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    load_certificate(context, config)
    return context


def load_certificate(context: ssl.SSLContext, config: TlsConfig) -> None:
    """Load (or load again, after a renewal) the certificate; new connections get the new one."""
    import ssl

    try:
        context.load_cert_chain(config.cert, config.key)
    except (OSError, ssl.SSLError) as error:
        raise StartError(
            "the TLS certificate cannot be used",
            detail=f"{config.cert}, {config.key}: {error}",
            hint="see [server.tls]: PEM files that the gateway's user may read, and that belong together",
        ) from error
