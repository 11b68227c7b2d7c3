"""OpenAI's Responses API: its usage and the grammar of its events."""
