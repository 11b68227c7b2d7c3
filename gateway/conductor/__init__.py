"""One request's journey: who asks, which provider and key, what is tried, how the answer gets back."""
