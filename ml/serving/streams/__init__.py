"""Read rows from a topic of a message broker, and write their predictions to another."""
