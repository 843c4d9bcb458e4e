"""How long inference, training, data loading and evaluation take."""
