"""Score a day with the champion of that day."""
