"""Feature extraction, kNN and its monitor."""
