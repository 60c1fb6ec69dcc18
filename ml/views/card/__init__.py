"""The model card: its sections and how they are drawn."""
