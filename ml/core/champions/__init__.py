"""Read who served when, and compare a champion with the one before."""
