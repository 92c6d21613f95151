"""A run's report: one HTML page, or a table."""
