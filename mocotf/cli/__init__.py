"""What commands are made of: flags, one-line errors, the JSON line."""

import os
import platform
import sys
import tempfile


def _import_tensorflow_quietly():
    """Imports TensorFlow without its notices on stderr, which no log level of its own silences.

    They are shown where they may matter: if the import fails, or the machine has an NVIDIA driver.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    if platform.machine() == "x86_64":
        # TensorFlow leaves oneDNN out on CPUs without AVX-512, where it is faster too.
        os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
    # Keras would import scikit-learn, a quarter of the time that this takes, for wrappers of its own.
    loaded = sys.modules.setdefault("sklearn", None)
    stderr = os.dup(2)
    wanted = True
    with tempfile.TemporaryFile() as notices:
        os.dup2(notices.fileno(), 2)
        try:
            import tensorflow as tf

            tf.config.list_physical_devices()
            wanted = os.path.exists("/proc/driver/nvidia/version")
        finally:
            if loaded is None:
                del sys.modules["sklearn"]
            os.dup2(stderr, 2)
            os.close(stderr)
            if wanted:
                notices.seek(0)
                sys.stderr.write(notices.read().decode(errors="replace"))


_import_tensorflow_quietly()
