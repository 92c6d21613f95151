"""What commands are made of: flags, one-line errors, the JSON line."""

import os

# Before TensorFlow is imported: its start-up notices are not about the user's run.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
