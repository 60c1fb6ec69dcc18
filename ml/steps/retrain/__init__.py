"""Train a challenger, judge it, and let it serve if it wins."""
