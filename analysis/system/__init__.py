"""Interface to the machine and the user: errors, files, locks, terminals, JAX's platform."""
