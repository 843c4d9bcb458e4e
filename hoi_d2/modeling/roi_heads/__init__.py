"""RmLR's head; start with `interaction_heads`, which combines the other modules."""
