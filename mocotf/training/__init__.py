"""Strategies, run directory, checkpoints, logging, the fit loop."""
