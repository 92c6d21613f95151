"""Tensors through: fused batch norm, ResNets, heads."""
