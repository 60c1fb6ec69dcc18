"""The embedded stack: every server of Evergreen on one machine, started and stopped as one."""
