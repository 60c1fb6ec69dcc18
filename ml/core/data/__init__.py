"""Decide what a day's tables must be: keys, types, targets, rows, calendar and windows."""
