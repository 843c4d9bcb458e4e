"""From the archives that people download to the trees that hoi_d2 registers."""
