"""Benchmarks: this toolkit and PyTorch at the same work, in the same run."""
