"""Decide what the monitored days say: drift, performance, alarms, and what follows."""
