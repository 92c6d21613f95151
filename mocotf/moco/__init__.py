"""The papers: queue, key encoder, shuffled batch norm, loss, and the model that joins them."""
