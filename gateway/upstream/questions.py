"""The calls that the gateway makes on its own account, for the catalog and for probes.

`providers/questions.py` says what they ask, this module where and with which headers.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway import jsonlib
from gateway.providers.openai import ADDED_TO_REQUEST
from gateway.providers.questions import PAGE_QUERIES, tiny_request
from gateway.upstream.exchange import Call
from gateway.upstream.provider import Provider

JSON = (b"content-type", b"application/json")
ACCEPT = (b"accept", b"application/json")


def listing_call(provider: Provider, query: str = "") -> Call:
    """Ask for a page of the provider's models, the first one unless `query` names another."""
    endpoint = provider.endpoint(provider.dialect)
    path, asked = endpoint.listing(query or PAGE_QUERIES.get(provider.dialect, ""))
    headers = (ACCEPT, *ADDED_TO_REQUEST, *provider.extra_headers)
    return Call(b"GET", path, asked, headers, b"", "", "other", dialect=provider.dialect, patient=True)


def tiny_call(provider: Provider, model: str, payload: Mapping[str, Any]) -> Call:
    """Ask a model something tiny. `payload` has fields of the body that go before ours; null takes one out."""
    tiny = tiny_request(provider.dialect, model)
    body = {name: value for name, value in {**tiny.body, **payload}.items() if value is not None}
    path, query = provider.endpoint(provider.dialect).place(tiny.path, model)
    headers = (JSON, *ADDED_TO_REQUEST, *provider.extra_headers)
    asked = jsonlib.dumps(body)
    return Call(b"POST", path, query, headers, asked, model, tiny.shape, dialect=provider.dialect, patient=True)
