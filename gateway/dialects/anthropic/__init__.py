"""Anthropic's Messages, and the counting of its tokens."""
