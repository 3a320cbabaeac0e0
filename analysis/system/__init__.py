"""The machine and its people: errors, files, locks, terminals, what JAX runs on."""
