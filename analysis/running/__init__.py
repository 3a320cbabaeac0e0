"""Makes missing results: units, cost estimates, progress, interrupts, one process or a cluster."""
