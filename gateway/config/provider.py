"""The tables of one provider: `[providers.NAME]` and what lies below it. See `model.py`."""

from __future__ import annotations

from dataclasses import field

from gateway.config.setting import setting
from gateway.quick import dataclass
from gateway.secret import Secret


@dataclass(frozen=True, slots=True)
class HealthConfig:
    """[providers.NAME.health]: how long a key rests after which outcome. See `llmgateway help keys`."""

    success: float = setting(86400.0, "a key that works is looked at again after this time without traffic", above=0)
    rate_limit: float = setting(60.0, "rest after a 429 that names no time", above=0)
    server_error: float = setting(
        1800.0,
        "rest after server errors, overloads or timeouts in a row (fault_threshold) while other keys succeed",
        above=0,
    )
    no_quota: float = setting(
        21600.0, "rest of a key whose quota is used up, unless the provider names the time", above=0
    )
    no_model: float = setting(3600.0, "rest of a key for a model that it cannot use", above=0)
    invalid: float = setting(
        864000.0, "rest of a key whose credential was rejected, and of one without access", above=0
    )
    verification_attempts: int = setting(
        3,
        "probes that must all reject a suspect key before it counts as invalid; without probes one live try decides",
        minimum=1,
        maximum=100,
    )
    verification_delay: float = setting(65.0, "seconds between them; a key rejected once waits as long", above=0)
    max_cooldown: float = setting(2678400.0, "no rest is longer, whatever the provider says", above=0)
    fault_threshold: int = setting(
        2, "the provider's faults in a row that bench a key while other keys succeed", minimum=2, maximum=1000
    )
    fault_window: float = setting(600.0, "two faults further apart than this are not in a row", above=0)
    quarantine_after: float = setting(2592000.0, "a key that has failed this long is looked at seldom (30 d)", above=0)
    quarantine_interval: float = setting(864000.0, "how seldom: the least time between two looks (10 d)", above=0)
    stop_after: float = setting(7776000.0, "a key that has failed this long is not looked at any more (90 d)", above=0)
    purge_after: float = setting(
        15552000.0, "a key that left the files this long ago is forgotten by the database (180 d)", above=0
    )
    amnesty_after: float = setting(
        172800.0, "time that the gateway was off does not count as failing, if it is longer than this (2 d)", above=0
    )
    guard_keys: int = setting(
        3, "different keys rejected alike, with no success between, that point to a common cause", minimum=2
    )
    guard_share: float = setting(
        0.2, "the same, as a share of the keys in use; whichever is more counts", minimum=0, maximum=1
    )
    guard_window: float = setting(30.0, "seconds within which that happens; 0: no such guard", minimum=0)
    batch_size: int = setting(10, "keys probed at once to begin with; grows and shrinks by itself", minimum=1)
    batch_interval: float = setting(30.0, "seconds between two batches to begin with", above=0)


@dataclass(frozen=True, slots=True)
class ProbeConfig:
    """[providers.NAME.probe]: looking at keys without traffic. See `llmgateway help keys`."""

    kind: str = setting(
        "auto",
        '"models": list the models (free) | "request": a tiny request | "none": live traffic alone teaches | '
        '"auto": by type',
        choices=("auto", "none", "models", "request"),
    )
    model: str = setting("", 'the model of a "request"; default: default_model, else the first of models')
    payload: str = setting(
        "",
        'JSON object with fields of a "request", null for one to be left out; default: one short message and '
        "max_tokens = 1, or what the dialect has for it",
    )
    concurrency: int = setting(4, "probes of this provider at once", minimum=1, maximum=1000)
    min_interval: float = setting(0.1, "seconds between the beginnings of two probes", minimum=0, maximum=3600)
    timeout: float = setting(30.0, "seconds that one probe may take", above=0)


@dataclass(frozen=True, slots=True)
class KeyLimitsConfig:
    """[providers.NAME.key_limits]: what one key may do, kept by the gateway before the provider says 429."""

    rpm: int = setting(0, "requests per minute; 0: no limit", minimum=0)
    tpm: int = setting(0, "tokens per minute, prompt and answer; 0: no limit", minimum=0)
    rpd: int = setting(0, "requests per day; 0: no limit", minimum=0)
    concurrency: int = setting(0, "requests at once; 0: no limit", minimum=0)


@dataclass(frozen=True, slots=True)
class ProxyConfig:
    """[providers.NAME.proxy]"""

    mode: str = setting(
        "none",
        '"none" | "static": one proxy | "pool": those of a file in turn, another one for each attempt | '
        '"sticky": each key keeps its proxy of the file as long as that works',
        choices=("none", "static", "pool", "sticky"),
    )
    url: Secret = setting(
        lambda: Secret(""),
        'the proxy of mode "static": http://, https://, socks5:// or socks5h://, then user:password@host:port',
        secret=True,
    )
    file: str = setting(
        "", "the proxy file of the other modes, one URL a line; providers may share one; default: proxies/NAME.txt"
    )

    @property
    def listed(self) -> bool:
        """Whether the proxies are those of a file."""
        return self.mode in ("pool", "sticky")


@dataclass(frozen=True, slots=True)
class TimeoutsConfig:
    """[providers.NAME.timeouts]"""

    connect: float = setting(10.0, "seconds to a connection, TLS and the way through a proxy included", above=0)
    write: float = setting(60.0, "seconds without progress while the request is written", above=0)
    first_byte: float = setting(600.0, "seconds until the answer begins: reasoning models are slow to start", above=0)
    idle: float = setting(300.0, "seconds of silence inside an answer", above=0)
    total: float = setting(900.0, "seconds for the whole request, all attempts together", above=0)


@dataclass(frozen=True, slots=True)
class RetryCount:
    """How often, and how long between: full jitter over backoff x factor^n seconds."""

    attempts: int = setting(0, "tries after the first one; 0: none", minimum=0, maximum=1000)
    backoff: float = setting(0.0, "seconds before the first of them, at most", minimum=0, maximum=3600)
    factor: float = setting(1.0, "by which the wait grows each time", minimum=1, maximum=100)


@dataclass(frozen=True, slots=True)
class RetryConfig:
    """[providers.NAME.retry]"""

    on_key_error: RetryCount = setting(
        lambda: RetryCount(20, 0.0, 1.0),
        "another key, after a key was rejected, limited or out of quota: attempts after the first one, "
        "seconds before the first of them, and the factor by which that grows",
        inline=True,
    )
    on_server_error: RetryCount = setting(
        lambda: RetryCount(2, 0.5, 2.0), "the same, after the provider failed", inline=True
    )
    replay_unanswered: str = setting(
        "always",
        '"always" | "streams" | "never": whether a request that was written but not answered is sent again',
        choices=("always", "streams", "never"),
    )
    budget: float = setting(
        0.2,
        "retries after server errors, as a share of the requests; up to ten may come first; 0 means none",
        minimum=0,
        maximum=10,
    )


@dataclass(frozen=True, slots=True)
class CircuitBreakerConfig:
    """[providers.NAME.circuit_breaker]. See `llmgateway help breakers`."""

    enabled: bool = setting(True, "false: every request is tried, however long the provider fails")
    mode: str = setting(
        "auto_recovery",
        '"auto_recovery": a few requests look by themselves whether it is over | "manual_reset": open until '
        "`llmgateway breakers reset`",
        choices=("auto_recovery", "manual_reset"),
    )
    failure_threshold: int = setting(
        5,
        "the provider's failures that open it: so many in a row, or, if that is more, half of at least 20 attempts "
        "within window",
        minimum=1,
        maximum=10_000,
    )
    window: float = setting(60.0, "seconds that these attempts may lie apart", above=0, maximum=86400)
    open_for: float = setting(
        60.0, "seconds that it stays open, up to a fifth less, before the first requests look", above=0
    )
    max_open_for: float = setting(
        300.0, "the same at most: each look that fails doubles it, lasting success brings it back", above=0
    )
    half_open_probes: int = setting(
        3, "requests that may look at once, and as many must succeed to close it", minimum=1, maximum=1000
    )


@dataclass(frozen=True, slots=True)
class StreamingConfig:
    """[providers.NAME.streaming]. See `llmgateway help http`."""

    mode: str = setting(
        "auto",
        '"auto": streamed as the client asks | "disabled": the provider is asked for whole answers, and who wants a '
        "stream gets it in one piece",
        choices=("auto", "disabled"),
    )
    hold: float = setting(
        30.0,
        "seconds a stream is held back until its first meaningful event, so that an early failure can be retried",
        minimum=0,
    )
    keepalive: float = setting(
        15.0, "seconds of silence after which a comment keeps an open stream alive; 0: never", minimum=0
    )


@dataclass(frozen=True, slots=True)
class ErrorRule:
    """[[providers.NAME.error_parsing.rules]]. See `llmgateway help errors`."""

    status_code: int = setting(0, "HTTP status of the answer, 400 to 599; 0: any", minimum=0, maximum=599)
    error_path: str = setting(
        "error.message", 'where to look: a dot path such as "error.details.0.reason", or "$" for the raw body'
    )
    match_pattern: str = setting("", "regular expression, searched for in the first 4096 characters of that text")
    map_to: str = setting(
        "",
        '"rate_limited", "no_quota", "no_model", "no_access", "invalid_key", "overloaded", "server_error", "timeout", '
        '"network_error", "bad_request" or "unknown"',
    )
    priority: int = setting(
        0, "the rule with the highest decides; among equals the first", minimum=-1_000_000, maximum=1_000_000
    )
    description: str = setting("", "for those who read the file, and `llmgateway keys explain`")


@dataclass(frozen=True, slots=True)
class ErrorParsingConfig:
    """[providers.NAME.error_parsing]"""

    enabled: bool = setting(True, "false leaves the rules out without deleting them")
    rules: tuple[ErrorRule, ...] = setting((), "rules of your own, asked before the built-in tables")


@dataclass(frozen=True, slots=True)
class ProviderConfig:
    """[providers.NAME]"""

    name: str = field(default="", metadata={"internal": True})
    type: str = setting(
        "",
        '"openai" for everything that speaks OpenAI\'s API; "anthropic", "gemini", "azure"; another vendor, such as '
        '"groq", "mistral" or "ollama" (all of them: `llmgateway help config`); "echo" for the built-in one that '
        "answers by itself",
    )
    keys: tuple[str, ...] = setting(
        (),
        "key file, folder of key files, or a list of them; one key a line; "
        "default: keys/NAME.txt, and the folder keys/NAME if there is one",
    )
    base_url: str = setting("", "where the provider's API is; default by type")
    dialects: tuple[str, ...] = setting(
        (),
        'of the dialects that the type speaks, those that the server is to be asked in: "openai_chat", '
        '"openai_responses", "anthropic", "gemini"; empty: all of them',
    )
    api_version: str = setting(
        "",
        'for the type "azure": the date of the API, such as "2024-10-21", which has deployments in its paths; empty: '
        "the v1 API, which has no date",
    )
    enabled: bool = setting(True, "false takes the provider out without deleting its table")
    models: tuple[str, ...] = setting(
        (), 'served models; "name=upstream-name" gives an alias; empty: the provider is asked'
    )
    models_ttl: float = setting(300.0, "seconds that a provider's own list of models is believed", above=0)
    default_model: str = setting("", "model for requests that name none")
    priority: int = setting(
        0,
        "among providers that serve the same model, the highest goes first; equals take turns",
        minimum=-1_000_000,
        maximum=1_000_000,
    )
    prices: str = setting(
        "",
        'whose listed prices hold: a provider type, or "none"; default: those of `type`',
    )
    selection: str = setting(
        "round_robin",
        '"round_robin": in turn | "least_in_flight" | "weighted": by the label weight= | "random" | '
        '"sticky": the same key for the same prompt_cache_key, x-session-id or user',
        choices=("round_robin", "least_in_flight", "weighted", "random", "sticky"),
    )
    shared_key_status: bool = setting(
        True, "one status per key for all models (quota is the account's); false: one per key and model"
    )
    max_connections: int = setting(
        10000,
        "connections to the provider at once; further requests wait for one (as many as clients may have)",
        minimum=1,
        maximum=1_000_000,
    )
    health: HealthConfig = setting(HealthConfig, "how long a key rests after which outcome, in seconds")
    probe: ProbeConfig = setting(ProbeConfig, "checking keys without traffic")
    key_limits: KeyLimitsConfig = setting(KeyLimitsConfig, "what one key may do; 0: no limit")
    timeouts: TimeoutsConfig = setting(TimeoutsConfig, "deadlines towards the provider, in seconds")
    retry: RetryConfig = setting(RetryConfig, "what is tried again, before the client sees anything")
    circuit_breaker: CircuitBreakerConfig = setting(
        CircuitBreakerConfig, "when a provider that only fails is left alone"
    )
    streaming: StreamingConfig = setting(StreamingConfig, "streamed answers")
    error_parsing: ErrorParsingConfig = setting(ErrorParsingConfig, "how errors are read")
    proxy: ProxyConfig = setting(ProxyConfig, "on the way to the provider; never is a request sent around it")
    headers: dict[str, str] = setting(dict, "extra request headers for this provider", secret=True)
