"""Training, evaluation and launching.

Nothing is imported here, so that `hoi_d2.engine.config` can be used by `hoi_d2.config`, which the
rest of the engine uses.
"""
