"""Studies, their stored results, statistics and plots: whatever touches files, time or people."""
