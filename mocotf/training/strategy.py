"""Which devices a run uses."""

import tensorflow as tf

from mocotf.errors import UserError

STRATEGIES = ("auto", "one_device", "mirrored")


def make_strategy(name, num_logical_devices=1):
    """Returns the `tf.distribute` strategy of a run.

    Args:
        name: "mirrored" replicates over all visible accelerators, or over the logical CPU devices
            where there are none; "one_device" uses the first; "auto" is mirrored where there is more
            than one device.
        num_logical_devices: into how many devices the CPU is split, to try several replicas on one
            machine; then they are used, whatever else there is. Only before TensorFlow has started
            its devices.

    Raises:
        UserError: TensorFlow's devices are already up.
    """
    if num_logical_devices > 1:
        cpu = tf.config.list_physical_devices("CPU")[0]
        parts = [tf.config.LogicalDeviceConfiguration()] * num_logical_devices
        try:
            tf.config.set_logical_device_configuration(cpu, parts)
        except RuntimeError as error:
            raise UserError(
                f"--num_logical_devices={num_logical_devices}: TensorFlow is already running with "
                f"{len(tf.config.list_logical_devices('CPU'))} CPU devices; start a new process"
            ) from error
    accelerators = [] if num_logical_devices > 1 else tf.config.list_logical_devices("GPU")
    devices = [d.name for d in accelerators or tf.config.list_logical_devices("CPU")]
    if name == "one_device" or (name == "auto" and len(devices) == 1):
        return tf.distribute.OneDeviceStrategy(devices[0])
    return tf.distribute.MirroredStrategy(devices)
