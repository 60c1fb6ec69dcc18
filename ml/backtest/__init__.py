"""Replay history day by day under several policies, by the functions that the steps call."""
