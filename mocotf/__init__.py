"""Momentum Contrast (MoCo v1 and v2) for TensorFlow and Keras."""

__version__ = "0.1.0"
