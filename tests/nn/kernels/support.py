"""What tests of kernels share."""

import tensorflow as tf


def values_and_gradients(function, *inputs, signature=None):
    """Returns the output and the gradients of its sum, weighted, as float64 arrays."""

    @tf.function(input_signature=signature)
    def run(*inputs):
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            y = function(*inputs)
            weights = tf.cast(tf.reshape(tf.range(tf.size(y)) % 7 - 3, tf.shape(y)), y.dtype)
            total = tf.reduce_sum(y * weights)
        return y, *tape.gradient(total, inputs)

    return [tf.cast(value, tf.float64).numpy() for value in run(*inputs)]


def operators(function, *inputs):
    """Returns the kinds of operators in the graph of a function, and in those of functions it calls."""
    graph = tf.function(function).get_concrete_function(*inputs).graph.as_graph_def()
    nodes = [*graph.node, *(node for f in graph.library.function for node in f.node_def)]
    compiled = {"jit_compile" for f in graph.library.function if f.attr["_XlaMustCompile"].b}
    return {node.op for node in nodes} | compiled


def normal(shape, seed, dtype="float32"):
    return tf.cast(tf.random.stateless_normal(shape, [seed, 0]), dtype)
