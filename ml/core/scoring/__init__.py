"""Divide a day into shards, and adapt scores to the newest labels."""
