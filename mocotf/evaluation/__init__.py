"""What an encoder has learned: features, kNN and its monitor, the linear protocol and fine-tuning."""
