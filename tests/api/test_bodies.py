"""What surfaces read of a body before anything else does."""

from __future__ import annotations

import pytest

from gateway.api.bodies import read_model, read_object
from gateway.conductor.auth import Identity
from gateway.errors import RequestError

ANYBODY = Identity("ann")
LIMITED = Identity("ann", models=frozenset({"gpt-4o-mini"}))


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b'{"model": "gpt-4o-mini", "messages": [{"role": "user", "model": "x"}], "n": 1, "N": 2}', 0),
        (b'{"model": "gpt-4o-mini", "model": "gpt-4o"}', 400),
        (b'{"m\\u006fdel": "gpt-4o-mini", "model": "gpt-4o"}', 400),
        (b'{"model": "gpt-4o-mini", "Model": "gpt-4o"}', 400),
        (b'{"MODEL": "gpt-4o"}', 400),
        (b'{"model": "gpt-4o-mini", "Models": ["gpt-4o"]}', 400),
        (b'{"model": "gpt-4o-mini", "models": ["gpt-4o"]}', 403),
        (b'{"model": "gpt-4o-mini", "providerOptions": {"gateway": {"models": ["gpt-4o"]}}}', 403),
        (b'{"model": "gpt-4o-mini", "providerOptions": {"gateway": {"order": ["azure"]}}}', 0),
        (b'{"model": "gpt-4o-mini", "providerOptions": {"gateway": "x"}}', 0),
    ],
)
def test_a_token_for_certain_models_must_name_one_and_in_one_way(body: bytes, status: int) -> None:
    decoded = read_object(body)
    assert read_model(decoded, body, ANYBODY) == decoded.get("model", "")
    if not status:
        assert read_model(decoded, body, LIMITED) == "gpt-4o-mini"
        return
    with pytest.raises(RequestError) as refused:
        read_model(decoded, body, LIMITED)
    assert refused.value.status == status
