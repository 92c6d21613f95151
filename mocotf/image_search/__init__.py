"""Vectors of a folder of images, an index of them, and its answers."""
