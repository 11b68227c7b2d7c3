"""HTTP endpoints: the router with the whole URL space, one file per client surface, error envelopes."""
