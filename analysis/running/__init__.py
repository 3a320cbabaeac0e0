"""Making what a store lacks: units, prices, progress, interrupts, one process or a cluster."""
