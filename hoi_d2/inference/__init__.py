"""Images in, interactions out: the predictor and what it returns."""
