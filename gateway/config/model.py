"""The configuration as values: one frozen dataclass per TOML table; those of a provider are in `provider.py`, those
of users' rights, limits and money in `accounts.py`.

Defaults live here and only here; so do the ranges, and the help texts from which `config create --full`
and `config.example.toml` are made. A value that reaches the rest of the program has been validated
(`build.py` by the rules beside each field, `validate.py` across fields): components may rely on types,
ranges and references being right.

Times are seconds, sizes are bytes. Every limit says in its help why it has that default.
"""

from __future__ import annotations

from dataclasses import field
from pathlib import Path

from gateway.config.accounts import BillingConfig, CacheConfig, JwtConfig, LimitsConfig, PriceConfig, RateLimits
from gateway.config.provider import ProviderConfig
from gateway.config.routes import RouteConfig
from gateway.config.setting import setting
from gateway.quick import dataclass
from gateway.secret import Secret

HIDDEN = "****"
"""What stands for a value that nobody is to see."""


@dataclass(frozen=True, slots=True)
class TlsConfig:
    """[server.tls]"""

    cert: str = setting("", "PEM file with the certificate chain; with a key, TCP listeners speak TLS")
    key: str = setting("", "PEM file with the private key")


@dataclass(frozen=True, slots=True)
class ServerConfig:
    """[server]"""

    listen: tuple[str, ...] = setting(
        ("127.0.0.1:8000",),
        'where clients connect: "host:port", "[::1]:8000", "unix:/path", "fd:NAME" (socket activation)',
    )
    default_provider: str = setting(
        "", "where a model that no provider lists goes; empty: nowhere, unless only one provider is set up"
    )
    max_connections: int = setting(
        10000,
        "client connections at once; a connection beyond gets 503 (each idle one costs about 10 KB)",
        minimum=1,
        maximum=1_000_000,
    )
    header_timeout: float = setting(
        10.0, "seconds until a request's head is complete; stops clients that trickle headers", above=0
    )
    body_timeout: float = setting(
        30.0,
        "seconds without progress while a body arrives, and for each 64 KB of it, or a twentieth if that is more; "
        "mobile uplinks stall that long",
        above=0,
    )
    idle_timeout: float = setting(
        75.0, "seconds a kept-alive connection may wait for its next request; longer than load balancers' 60", above=0
    )
    write_timeout: float = setting(
        60.0, "seconds without progress while a client reads its answer; beyond it the client is gone", above=0
    )
    drain_timeout: float = setting(
        60.0, "seconds that requests in flight get to finish at shutdown; below systemd's 90", above=0
    )
    max_header_bytes: int = setting(
        32768,
        "size of a request's head; SDKs send under 2 KB, tracing headers and JWTs need some more",
        minimum=1024,
        maximum=1 << 20,
    )
    max_body_bytes: int = setting(
        67108864,
        "size of a request's body; base64 images and audio files fit into 64 MiB",
        minimum=1024,
        maximum=1 << 32,
    )
    max_buffered_bytes: int = setting(
        268435456,
        "large bodies of requests and answers held at once, all together; beyond that 503. In memory each takes up to "
        "three times its size, and the unit allows 1 GB",
        minimum=1024,
        maximum=1 << 40,
    )
    allowed_hosts: tuple[str, ...] = setting(
        (),
        "Host headers that are answered; empty: any, but on loopback without auth only localhost, "
        "127.0.0.1 and [::1] (DNS rebinding)",
    )
    cors_origins: tuple[str, ...] = setting(
        (), 'browser origins that may call, such as "https://chat.example.org"; "*" for any'
    )
    trusted_proxies: tuple[str, ...] = setting(
        (), "addresses or networks of reverse proxies whose X-Forwarded-For counts"
    )
    tls: TlsConfig = setting(TlsConfig, "TLS for clients; renewed certificates are picked up on reload")


@dataclass(frozen=True, slots=True)
class StoreConfig:
    """[store]"""

    url: str = setting("sqlite:llmgateway.db", 'database: "sqlite:FILE", relative to the state folder')
    retention_days: float = setting(
        90.0, "days that history is kept: makers of answers (30 at most), statuses of proxies", above=0, maximum=36500
    )
    max_mb: int = setting(
        1024,
        "size of the database; above it the oldest makers of answers are forgotten (a hundred thousand keys take some "
        "60 MB); 0: no cap",
        minimum=0,
        maximum=1 << 30,
    )
    maintenance_interval: float = setting(
        21600.0, "seconds between rounds that forget what is old and give its space back to the disk", minimum=1
    )


@dataclass(frozen=True, slots=True)
class AuthConfig:
    """[auth]"""

    required: str = setting(
        "auto",
        '"auto" | true | false; auto: off while every listener is loopback or Unix. '
        "A public listener without auth refuses to start",
        choices=("auto", "true", "false"),
    )  # after validation one of "auto", "true", "false"
    jwt: JwtConfig = setting(JwtConfig, "JSON Web Tokens")


@dataclass(frozen=True, slots=True)
class TokenConfig:
    """[tokens.NAME]: a static API token, which clients present as their key."""

    token: Secret = setting(
        lambda: Secret(""),
        "the API token itself; better ${file:/path} or ${credential:NAME} than in the clear",
        secret=True,
    )
    user: str = setting("", "whose token it is; default: the table's name")
    scopes: tuple[str, ...] = setting(
        ("use",), '"use" (call models), "read" (metrics, details), "admin"', choices=("use", "read", "admin")
    )
    providers: tuple[str, ...] = setting((), "providers it may use; empty: all")
    models: tuple[str, ...] = setting((), "models it may use; empty: all")
    default_provider: str = setting("", "where a model that no provider lists goes, for this token")
    limits: RateLimits = setting(RateLimits, "for this token alone; default: limits.token", inline=True)


@dataclass(frozen=True, slots=True)
class TranslationConfig:
    """[translation]: between the dialects of clients and of providers. See `llmgateway help translation`."""

    on_loss: str = setting(
        "warn",
        'what is done about fields that the provider has no word for: "reject": 400 | "warn": hints that only tune are '
        'dropped and named in x-llmgateway-dropped, content is a 400 | "drop": everything is dropped and named',
        choices=("reject", "warn", "drop"),
    )


@dataclass(frozen=True, slots=True)
class QueueConfig:
    """[queue]: requests that wait for a key."""

    max: int = setting(
        1000,
        "requests that may wait at once; one more is answered at once with 429 or 503, since it would only time out",
        minimum=0,
        maximum=1_000_000,
    )
    timeout: float = setting(
        10.0, "seconds a request waits in all for a cooling key, if it comes back within that time", above=0
    )


@dataclass(frozen=True, slots=True)
class SyncConfig:
    """[sync]: reading key files."""

    interval: float = setting(
        1.0, "seconds between looks at the key files (modification time, size, inode)", minimum=0.1, maximum=3600
    )
    shrink_guard: bool = setting(
        True, "a file that loses more than half of its keys at once is believed only when the next look confirms it"
    )


@dataclass(frozen=True, slots=True)
class ProxiesConfig:
    """[proxies]: how proxies are looked after. Which ones a provider uses is said in [providers.NAME.proxy]."""

    rest: float = setting(
        60.0, "seconds that a proxy rests after a failure; doubled with each further one until it works again", above=0
    )
    max_rest: float = setting(1800.0, "no rest is longer: whether a proxy is back costs one connection to see", above=0)
    probe: bool = setting(True, "open connections through proxies to see whether they work; false: only requests do")
    check: float = setting(3600.0, "seconds after which a proxy that works is probed; a request counts as one", above=0)
    concurrency: int = setting(
        20, "probes at once, for each proxy file: each may take as long as timeouts.connect", minimum=1, maximum=1000
    )


@dataclass(frozen=True, slots=True)
class InventoryConfig:
    """[inventory]: files that list the keys by status. See `llmgateway help keys`."""

    enabled: bool = setting(False, "write path/PROVIDER/STATUS.ndjson, an object a line")
    interval: float = setting(300.0, "seconds between two looks; a file is written when it would change", minimum=1)
    full_keys: bool = setting(False, "true writes the keys themselves, too, not just their fingerprints")
    path: str = setting("inventory", "the folder; under systemd one below the state folder")


@dataclass(frozen=True, slots=True)
class MetricsConfig:
    """[metrics]"""

    public: bool = setting(False, "GET /metrics without a token even when auth is on")
    user_balance: bool = setting(False, "the balance of each user, 10,000 at most; with billing")


@dataclass(frozen=True, slots=True)
class LoggingConfig:
    """[logging]: JSON lines on stderr, which systemd keeps in the journal."""

    level: str = setting(
        "info", '"debug" | "info" | "warning" | "error"', choices=("debug", "info", "warning", "error")
    )
    requests: bool = setting(True, "a line for each request")


@dataclass(frozen=True, slots=True)
class Config:
    """The whole file. `path` is where it came from, `state_dir` where relative store paths lead.

    `masked` names the settings whose value came from a ${file:} or ${credential:} reference, such as
    `providers.main.base_url`: whoever prints a setting asks `shown` first.
    """

    path: Path = field(default=Path("config.toml"), metadata={"internal": True})
    state_dir: Path = field(default=Path("state"), metadata={"internal": True})
    masked: frozenset[str] = field(default=frozenset(), compare=False, metadata={"internal": True})
    server: ServerConfig = setting(ServerConfig, "the listening side")
    store: StoreConfig = setting(StoreConfig, "what survives a restart")
    auth: AuthConfig = setting(AuthConfig, "who may call")
    tokens: dict[str, TokenConfig] = setting(dict, "static API tokens")
    limits: LimitsConfig = setting(LimitsConfig, "how much clients may ask for")
    billing: BillingConfig = setting(BillingConfig, "prepaid balances")
    prices: dict[str, PriceConfig] = setting(dict, "other prices than the bundled ones")
    cache: CacheConfig = setting(CacheConfig, "answers given again")
    queue: QueueConfig = setting(QueueConfig, "requests waiting for a key")
    translation: TranslationConfig = setting(TranslationConfig, "between dialects")
    sync: SyncConfig = setting(SyncConfig, "reading key files")
    proxies: ProxiesConfig = setting(ProxiesConfig, "looking after proxies")
    providers: dict[str, ProviderConfig] = setting(dict, "where answers come from")
    routes: dict[str, RouteConfig] = setting(dict, "model names of your own")
    inventory: InventoryConfig = setting(InventoryConfig, "files that list the keys by status")
    metrics: MetricsConfig = setting(MetricsConfig, "Prometheus")
    logging: LoggingConfig = setting(LoggingConfig, "log lines")

    def is_masked(self, key: str) -> bool:
        """Whether the setting `key`, or the list that it is an item of, came out of a secret reference."""
        return key in self.masked or (key.endswith("]") and key[: key.rindex("[")] in self.masked)

    def shown(self, key: str, value: str) -> str:
        """The value of the setting `key` for people's eyes: `****` for what is masked."""
        return HIDDEN if value and self.is_masked(key) else value

    def all_shown(self, key: str, values: tuple[str, ...]) -> list[str]:
        """The same of a list."""
        return [self.shown(f"{key}[{index}]", value) for index, value in enumerate(values)]
