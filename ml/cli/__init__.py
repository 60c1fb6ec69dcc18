"""The one command, ``evergreen``: what a person types, led to the functions that the pipelines call."""
