"""llmgateway: many unstable provider keys behind one dependable, OpenAI-compatible address."""

__version__ = "0.1.0"
