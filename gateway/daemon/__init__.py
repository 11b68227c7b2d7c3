"""The composition root: what is built in which order, how it is exchanged while it runs, how it ends."""
