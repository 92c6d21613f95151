"""A pre-training run: its settings, chosen or given, and what is built of them."""
