"""Training: trainer, hooks, guards, writers, launching. Start at `trainer.py`."""
