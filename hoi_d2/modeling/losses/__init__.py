"""Losses of pairs (`verb_focal`) and of images (`classification`, `lse_sign`)."""
