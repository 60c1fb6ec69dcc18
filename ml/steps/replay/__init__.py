"""The parts of `ml.steps.backtest`: what had arrived when, policies, models by what determines them, the day loop."""
