"""llmgateway: many unstable provider keys behind one dependable address for clients of OpenAI, Anthropic and Google."""

__version__ = "0.1.0"
