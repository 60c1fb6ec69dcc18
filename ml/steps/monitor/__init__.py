"""Watch a day, and decide what follows."""
