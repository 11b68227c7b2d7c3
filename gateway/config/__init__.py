"""The configuration: model, load, interpolate, validate, create."""
