"""The list of models in Gemini's shape: `GET /v1beta/models` and `GET /v1beta/models/MODEL`.

Source: https://ai.google.dev/api/models
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

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


def write_models(models: Iterable[Json], next_page_token: str = "") -> Json:
    """A page of the list. The token is what the client gives back as `pageToken`; without one it was the last page."""
    page: Json = {"models": list(models)}
    return {**page, "nextPageToken": next_page_token} if next_page_token else page
