"""Results as tables, pictures, captions, statistical tests, claims with verdicts, and the report."""
