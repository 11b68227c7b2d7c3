from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import pytest

from gateway.observe.families import FAMILIES
from gateway.observe.metrics import MODELS_LIMIT, REASONS_LIMIT, TOKEN_KINDS, Histogram, Metrics
from gateway.observe.record import RequestRecord
from gateway.usage import Usage

SAMPLE = re.compile(r'[a-z_]+(\{([a-z_]+="(\\[\\"n]|[^"\\\n])*",?)+\})? -?[0-9.e+-]+')


@dataclass
class Statistics:
    commits: int
    seconds: float
    bytes_on_disk: Mapping[str, int] = field(default_factory=dict)


def a_record(**fields: object) -> RequestRecord:
    record = RequestRecord("req-1", 100.0)
    record.surface, record.provider, record.model, record.status = "openai", "main", "gpt-4o", 200
    for name, value in fields.items():
        setattr(record, name, value)
    return record


def samples(metrics: Metrics, prefix: str) -> list[str]:
    lines = metrics.render().decode().splitlines()
    return [line for line in lines if line.startswith(prefix)]


def test_the_page_is_well_formed() -> None:
    metrics = Metrics()
    metrics.request_done(a_record(usage=Usage(output_text=1), streamed=True, first_byte_at=100.2), 0.25)
    metrics.request_done(a_record(status=500, outcome="error", error="upstream_error"), 0.25)
    metrics.request_done(a_record(outcome="client_gone"), 0.25)
    metrics.attempt("main", "success")
    metrics.collect_store(lambda: Statistics(3, 0.5))
    page = metrics.render().decode()
    assert page.endswith("\n")
    described = set()
    for line in page.splitlines():
        if line.startswith("#"):
            described.add(line.split()[2])
        else:
            assert SAMPLE.fullmatch(line), line
            name = re.split(r"[{ ]", line)[0]
            assert name in described or re.sub(r"_(bucket|sum|count)$", "", name) in described
    assert described == set(FAMILIES)


def test_requests_are_counted_by_surface_provider_model_and_status() -> None:
    metrics = Metrics()
    metrics.request_done(a_record(), 0.1)
    metrics.request_done(a_record(), 0.1)
    metrics.request_done(a_record(status=429, outcome="error", error="keys_cooling"), 0.1)
    assert samples(metrics, "llm_requests_total") == [
        'llm_requests_total{surface="openai",provider="main",model="gpt-4o",status="200"} 2',
        'llm_requests_total{surface="openai",provider="main",model="gpt-4o",status="429"} 1',
    ]
    assert samples(metrics, "llm_requests_errors_total") == [
        'llm_requests_errors_total{provider="main",reason="keys_cooling"} 1'
    ]


def test_an_error_without_a_code_is_named_by_its_status() -> None:
    metrics = Metrics()
    metrics.request_done(a_record(status=502, attempts=1), 0.1)
    assert samples(metrics, "llm_requests_errors_total") == [
        'llm_requests_errors_total{provider="main",reason="http_502"} 1'
    ]


@pytest.mark.parametrize(
    ("reason", "attempts", "provider"),
    [("insufficient_quota", 0, ""), ("store_unavailable", 0, ""), ("insufficient_quota", 2, "main"),
     ("no_usable_key", 0, "main"), ("circuit_open", 0, "main")],
)  # fmt: skip
def test_what_the_gateway_refuses_by_itself_is_no_error_of_the_provider(
    reason: str, attempts: int, provider: str
) -> None:
    metrics = Metrics()
    metrics.request_done(a_record(status=402, error=reason, attempts=attempts), 0.1)
    assert samples(metrics, "llm_requests_errors_total") == [
        f'llm_requests_errors_total{{provider="{provider}",reason="{reason}"}} 1'
    ]


@pytest.mark.parametrize(("phase", "label"), [("queued", "queued"), ("streaming", "streaming"), ("", "receiving")])
def test_a_client_that_left_is_counted_by_phase_and_is_no_error(phase: str, label: str) -> None:
    metrics = Metrics()
    metrics.request_done(a_record(outcome="client_gone", phase=phase), 0.1)
    assert samples(metrics, "llm_client_disconnects_total") == [f'llm_client_disconnects_total{{phase="{label}"}} 1']
    assert samples(metrics, "llm_requests_errors_total") == []
    assert 'status="499"' in samples(metrics, "llm_requests_total")[0]


def test_who_goes_elsewhere_since_a_provider_is_away_counts_as_a_fallback() -> None:
    metrics = Metrics()
    metrics.fallback("main", "timeout")
    for _ in range(2):
        metrics.request_done(a_record(provider="spare", instead_of="main"), 0.1)
    assert samples(metrics, "llm_gateway_fallbacks_total") == [
        'llm_gateway_fallbacks_total{provider="main",cause="timeout"} 1',
        'llm_gateway_fallbacks_total{provider="main",cause="away"} 2',
    ]


def test_buckets_are_cumulative_and_their_bounds_inclusive() -> None:
    metrics = Metrics()
    for seconds in (0.01, 0.05, 0.06, 1000.0):
        metrics.request_done(a_record(), seconds)
    lines = samples(metrics, "llm_requests_duration_seconds")
    assert lines[:2] == [
        'llm_requests_duration_seconds_bucket{le="0.05"} 2',
        'llm_requests_duration_seconds_bucket{le="0.1"} 3',
    ]
    assert lines[-4:] == [
        'llm_requests_duration_seconds_bucket{le="600"} 3',
        'llm_requests_duration_seconds_bucket{le="+Inf"} 4',
        "llm_requests_duration_seconds_sum 1000.12",
        "llm_requests_duration_seconds_count 4",
    ]


def test_waits_for_a_key_are_a_histogram_for_each_provider() -> None:
    metrics = Metrics()
    waits = {"main": Histogram((0.5, 10.0)), "spare": Histogram((0.5, 10.0))}
    waits["main"].observe(2.0)
    metrics.collect_queues(dict, dict, lambda: waits)
    assert samples(metrics, "llm_gateway_queue_wait_seconds") == [
        'llm_gateway_queue_wait_seconds_bucket{provider="main",le="0.5"} 0',
        'llm_gateway_queue_wait_seconds_bucket{provider="main",le="10"} 1',
        'llm_gateway_queue_wait_seconds_bucket{provider="main",le="+Inf"} 1',
        'llm_gateway_queue_wait_seconds_sum{provider="main"} 2',
        'llm_gateway_queue_wait_seconds_count{provider="main"} 1',
        'llm_gateway_queue_wait_seconds_bucket{provider="spare",le="0.5"} 0',
        'llm_gateway_queue_wait_seconds_bucket{provider="spare",le="10"} 0',
        'llm_gateway_queue_wait_seconds_bucket{provider="spare",le="+Inf"} 0',
        'llm_gateway_queue_wait_seconds_sum{provider="spare"} 0',
        'llm_gateway_queue_wait_seconds_count{provider="spare"} 0',
    ]


def test_overhead_leaves_out_the_waiting_for_the_upstream() -> None:
    metrics = Metrics()
    metrics.request_done(a_record(upstream_seconds=2.0), 2.5)
    assert "llm_request_overhead_seconds_sum 0.5" in samples(metrics, "llm_request_overhead")


def test_time_to_first_token_is_for_streams_that_began() -> None:
    metrics = Metrics()
    metrics.request_done(a_record(first_byte_at=101.0), 2.5)
    metrics.request_done(a_record(streamed=True), 2.5)
    metrics.request_done(a_record(streamed=True, first_byte_at=100.5), 2.5)
    assert samples(metrics, "llm_time_to_first_token_seconds_sum") == ["llm_time_to_first_token_seconds_sum 0.5"]
    assert samples(metrics, "llm_time_to_first_token_seconds_count") == ["llm_time_to_first_token_seconds_count 1"]


@pytest.mark.parametrize("surface", ["health", "metrics", "admin", "unknown"])
def test_the_gateways_own_pages_are_counted_but_not_timed(surface: str) -> None:
    metrics = Metrics()
    metrics.request_done(a_record(surface=surface), 0.1)
    assert len(samples(metrics, "llm_requests_total")) == 1
    assert samples(metrics, "llm_requests_duration_seconds_count") == ["llm_requests_duration_seconds_count 0"]


def test_tokens_are_counted_in_kinds_that_do_not_overlap() -> None:
    metrics = Metrics()
    metrics.request_done(a_record(usage=Usage(input_uncached=10, cache_read=0, reasoning=3)), 0.1)
    metrics.request_done(a_record(usage=Usage(input_uncached=5)), 0.1)
    assert samples(metrics, "llm_tokens_total") == [
        'llm_tokens_total{provider="main",model="gpt-4o",kind="input_uncached"} 15',
        'llm_tokens_total{provider="main",model="gpt-4o",kind="reasoning"} 3',
    ]


def test_every_bucket_of_usage_is_a_kind_of_tokens() -> None:
    assert tuple(Usage._fields) == TOKEN_KINDS


def test_models_beyond_the_limit_are_counted_as_other() -> None:
    metrics = Metrics()
    for n in range(MODELS_LIMIT + 50):
        metrics.request_done(a_record(model=f"model-{n}"), 0.1)
    metrics.request_done(a_record(model="model-0"), 0.1)
    lines = samples(metrics, "llm_requests_total")
    assert len(lines) == MODELS_LIMIT + 1
    assert 'llm_requests_total{surface="openai",provider="main",model="other",status="200"} 50' in lines
    assert 'llm_requests_total{surface="openai",provider="main",model="model-0",status="200"} 2' in lines


@pytest.mark.parametrize(
    ("fields", "label"),
    [
        ({"provider": "", "status": 404}, ""),  # no provider was found for it
        ({"status": 404}, "other"),  # the provider does not know it
        ({"status": 400}, "other"),
        ({"model": "x" * 101}, "other"),
        ({"status": 503}, "gpt-4o"),
    ],
)
def test_a_model_that_nobody_knows_gets_no_series(fields: dict[str, object], label: str) -> None:
    metrics = Metrics()
    metrics.request_done(a_record(**fields), 0.1)
    assert f'model="{label}"' in samples(metrics, "llm_requests_total")[0]


def test_reasons_are_bounded_too() -> None:
    metrics = Metrics()
    for n in range(REASONS_LIMIT + 7):
        metrics.request_done(a_record(status=500, error=f"reason-{n}", attempts=1), 0.1)
    lines = samples(metrics, "llm_requests_errors_total")
    assert len(lines) == REASONS_LIMIT + 1
    assert lines[-1] == 'llm_requests_errors_total{provider="main",reason="other"} 7'


def test_label_values_are_escaped() -> None:
    metrics = Metrics()
    metrics.request_done(a_record(model='a"b\\c\nd'), 0.1)
    assert 'model="a\\"b\\\\c\\nd"' in samples(metrics, "llm_requests_total")[0]


def test_attempts_are_counted_by_outcome() -> None:
    metrics = Metrics()
    for outcome in ("success", "rate_limited", "success"):
        metrics.attempt("main", outcome)
    assert samples(metrics, "llm_attempts_total") == [
        'llm_attempts_total{provider="main",outcome="success"} 2',
        'llm_attempts_total{provider="main",outcome="rate_limited"} 1',
    ]


@pytest.mark.parametrize(
    ("name", "label", "collect"),
    [
        ("llm_gateway_keys", "provider", Metrics.collect_keys),
        ("llm_gateway_proxies", "file", Metrics.collect_proxies),
    ],
)
def test_a_status_that_nothing_has_any_more_is_zero(name: str, label: str, collect: Callable[..., None]) -> None:
    metrics = Metrics()
    counts = {("main", "valid"): 2, ("main", "suspect"): 1}
    collect(metrics, lambda: counts)
    metrics.render()
    del counts["main", "suspect"]
    assert samples(metrics, name) == [
        f'{name}{{{label}="main",status="suspect"}} 0',
        f'{name}{{{label}="main",status="valid"}} 2',
    ]


def test_gauges_have_the_value_of_the_moment() -> None:
    metrics = Metrics()
    metrics.in_flight = 3
    metrics.collect_dropped(lambda: {"log": 4})
    metrics.collect_store(lambda: Statistics(10, 0.25, {"database": 4096, "log": 0}))
    assert samples(metrics, "llm_requests_in_flight") == ["llm_requests_in_flight 3"]
    assert samples(metrics, "llm_gateway_events") == ['llm_gateway_events_dropped_total{sink="log"} 4']
    assert samples(metrics, "llm_gateway_store_seconds") == [
        "llm_gateway_store_seconds_sum 0.25",
        "llm_gateway_store_seconds_count 10",
    ]
    assert samples(metrics, "llm_gateway_store_bytes") == [
        'llm_gateway_store_bytes{part="database"} 4096',
        'llm_gateway_store_bytes{part="log"} 0',
    ]


def test_maintenance_is_counted_by_task_and_outcome() -> None:
    metrics = Metrics()
    metrics.maintained("purge", "done", 0.5, {"keys": 2, "responses": 0})
    metrics.maintained("purge", "done", 0.25, {"keys": 1, "responses": 7})
    metrics.maintained("vacuum", "failed", 1.0, {})
    assert samples(metrics, "llm_gateway_maintenance_total") == [
        'llm_gateway_maintenance_total{task="purge",outcome="done"} 2',
        'llm_gateway_maintenance_total{task="vacuum",outcome="failed"} 1',
    ]
    assert samples(metrics, "llm_gateway_maintenance_seconds_total") == [
        'llm_gateway_maintenance_seconds_total{task="purge"} 0.75',
        'llm_gateway_maintenance_seconds_total{task="vacuum"} 1',
    ]
    assert samples(metrics, "llm_gateway_purged_total") == [
        'llm_gateway_purged_total{kind="keys"} 3',
        'llm_gateway_purged_total{kind="responses"} 7',
    ]


def test_the_process_reports_itself() -> None:
    metrics = Metrics(clock=lambda: 1700000000.5)
    page = metrics.render().decode()
    assert "process_start_time_seconds 1700000000.5\n" in page
    (memory,) = samples(metrics, "process_resident_memory_bytes")
    assert int(memory.split()[1]) > 1_000_000
    assert re.search(r'llmgateway_build_info\{version="[^"]+",python="3\.\d+\.\d+"\} 1\n', page)


def test_tasks_are_counted_at_scrape_time() -> None:
    metrics = Metrics()
    counts = iter([3, 5])
    metrics.collect_tasks(lambda: next(counts))
    assert [samples(metrics, "llm_gateway_tasks") for _ in range(2)] == [
        ["llm_gateway_tasks 3"],
        ["llm_gateway_tasks 5"],
    ]
