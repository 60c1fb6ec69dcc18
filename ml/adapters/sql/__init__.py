"""Read from SQL databases, and write to them, by SQLAlchemy."""
