"""Change who serves, and load only what the storage records: what several verbs share."""
