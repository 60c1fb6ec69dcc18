"""Propose the settings of a model from a sample of its data, each with the reason in the data."""
