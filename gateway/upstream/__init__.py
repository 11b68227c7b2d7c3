"""The provider side that Conductor and Keeper share: key pools, models, and one call with one key, classified."""
