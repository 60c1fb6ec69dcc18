"""Answer requests for predictions with the champion of each model, as the batch would."""
