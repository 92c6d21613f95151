"""Faster ways to compute layers, to a few roundings the same; policy.py says where they are taken."""
