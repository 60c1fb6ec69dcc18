"""Bring a day into the data registry."""
