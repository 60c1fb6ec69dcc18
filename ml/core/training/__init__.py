"""Build the pipeline of features and estimator, and say what determines its result."""
