"""OpenAI's Responses API."""

from typing import Final

DIALECT: Final = "openai_responses"
