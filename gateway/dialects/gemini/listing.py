"""A model in Gemini's shape, as `GET /v1beta/models/MODEL` gives it and `GET /v1beta/models` lists it.

Source: https://ai.google.dev/api/models
"""

from __future__ import annotations

from collections.abc import Sequence

from gateway.dialects.names import Json

GENERATES = ("generateContent", "streamGenerateContent", "countTokens")
EMBEDS = ("embedContent", "batchEmbedContents")
"""`supportedGenerationMethods` of models that answer, and of those that embed."""


def write_model(
    model_id: str,
    *,
    display_name: str = "",
    description: str = "",
    methods: Sequence[str] = GENERATES,
    input_limit: int | None = None,
    output_limit: int | None = None,
) -> Json:
    """One model. `model_id` is the name that clients use; limits are in tokens, None where nobody knows them."""
    fields = {
        "name": f"models/{model_id}",
        "version": "001",  # required; SDKs show it and do nothing with it
        "displayName": display_name or model_id,
        "description": description or None,
        "inputTokenLimit": input_limit,
        "outputTokenLimit": output_limit,
        "supportedGenerationMethods": list(methods),
    }
    return {name: value for name, value in fields.items() if value is not None}
