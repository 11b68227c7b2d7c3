"""Every metric that Prometheus is shown: its name, type, meaning and labels. `metrics.py` counts."""

from __future__ import annotations

from typing import NamedTuple


class Family(NamedTuple):
    """A metric: its type, what it says, its labels."""

    kind: str
    text: str
    labels: tuple[str, ...] = ()


FAMILIES = {
    "llm_requests_total": Family(
        "counter",
        "Requests answered, by HTTP status (499: the client left first)",
        ("surface", "provider", "model", "status"),
    ),
    "llm_requests_errors_total": Family(
        "counter", "Requests that ended in an error, by its code", ("provider", "reason")
    ),
    "llm_attempts_total": Family(
        "counter", "Upstream calls, by outcome; more than requests where one was retried", ("provider", "outcome")
    ),
    "llm_gateway_fallbacks_total": Family(
        "counter",
        "Requests that went on to another target, by the provider they left and the cause; away: it was not asked",
        ("provider", "cause"),
    ),
    "llm_gateway_key_probes_total": Family(
        "counter", "Probes of provider keys, by what came of them.", ("provider", "outcome")
    ),
    "llm_tokens_total": Family(
        "counter", "Tokens that providers reported, in kinds that do not overlap", ("provider", "model", "kind")
    ),
    "llm_cost_total": Family(
        "counter", "What users were charged, in the currency of their balances", ("provider", "model")
    ),
    "llm_client_disconnects_total": Family(
        "counter", "Requests whose client left, by the phase they were in", ("phase",)
    ),
    "rate_limit_requests_total": Family(
        "counter",
        "Requests that the limits of a scope allowed, or refused: global, user, token",
        ("scope", "outcome"),
    ),
    "llm_gateway_limits_fallbacks_total": Family(
        "counter", "Decisions that this gateway made alone, because Redis did not answer"
    ),
    "llm_requests_duration_seconds": Family("histogram", "Time from a request's head to the end of its answer"),
    "llm_request_overhead_seconds": Family("histogram", "The part of that time not spent waiting for the provider"),
    "llm_time_to_first_token_seconds": Family(
        "histogram", "Time from a request's head to the first event of its stream"
    ),
    "llm_gateway_cache_requests_total": Family(
        "counter", "Requests that the response cache was asked for, by outcome: hit, miss", ("outcome",)
    ),
    "llm_gateway_cache_failures_total": Family("counter", "Times that the cache's Redis was slow or gone"),
    "llm_gateway_cache_answers": Family("gauge", "Answers in the response cache; in Redis they are not counted"),
    "llm_gateway_cache_bytes": Family("gauge", "Memory that they take, with those on their way"),
    "llm_requests_in_flight": Family("gauge", "Requests being served now"),
    "llm_gateway_queue_waiting": Family("gauge", "Requests that wait for a key", ("provider",)),
    "llm_gateway_queue_refused_total": Family(
        "counter", "Requests for which there was no place in the queue, or no longer one", ("provider",)
    ),
    "llm_gateway_queue_wait_seconds": Family(
        "histogram", "Time that requests waited for a key, whether one came or not", ("provider",)
    ),
    "llm_gateway_held_bytes": Family("gauge", "Large bodies of requests and answers held in memory"),
    "llm_gateway_shed_total": Family(
        "counter", "Turned away for want of room, by what it was: connections, requests, answers", ("what",)
    ),
    "llm_gateway_keys": Family("gauge", "Keys by status", ("provider", "status")),
    "llm_gateway_proxies": Family(
        "gauge", "Proxies by status; no file for one that a provider names itself", ("file", "status")
    ),
    "llm_gateway_circuit_state": Family(
        "gauge", "The circuit breaker of a provider: 0 closed, 1 half-open, 2 open", ("provider",)
    ),
    "llm_gateway_store_seconds": Family("summary", "Time spent in database transactions"),
    "llm_gateway_store_bytes": Family("gauge", "Size of the database on disk, by part: database, log", ("part",)),
    "llm_gateway_tasks": Family("gauge", "Tasks of the event loop: one for each open connection, and some beside"),
    "llm_gateway_ledger_queued": Family("gauge", "Reservations and charges that wait for the database"),
    "user_balance": Family("gauge", "Balances of users; with metrics.user_balance alone", ("user",)),
    "llm_gateway_maintenance_total": Family(
        "counter", "Runs of database maintenance, by task and outcome: done, failed", ("task", "outcome")
    ),
    "llm_gateway_maintenance_seconds_total": Family("counter", "Time spent in them", ("task",)),
    "llm_gateway_purged_total": Family("counter", "Rows purged from the database, by kind", ("kind",)),
    "llm_gateway_events_dropped_total": Family(
        "counter", "Log lines and other events lost because nobody took them", ("sink",)
    ),
    "llmgateway_build_info": Family("gauge", "Always 1; the labels say what is running", ("version", "python")),
    "process_cpu_seconds_total": Family("counter", "User and system CPU time spent"),
    "process_resident_memory_bytes": Family("gauge", "Resident memory size"),
    "process_open_fds": Family("gauge", "Open file descriptors"),
    "process_max_fds": Family("gauge", "Limit of open file descriptors"),
    "process_start_time_seconds": Family("gauge", "When the process started, in unix seconds"),
}
"""Every metric, in the order of the output."""
