"""Mutation testing: small faults are put into the science, one at a time, and the tests have to notice each one."""
