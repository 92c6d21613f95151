"""3×3 convolutions of stride 1 with 2.25 times fewer products: Winograd's filtering F(2×2, 3×3).

Lavin & Gray, arXiv 1509.09308, §4.1, with their letters: 4×4 pixels of the input, two apart, become V,
a kernel becomes U, and their product M, a matrix for each of 16 elements, 2×2 pixels of the output.
What is transformed has its squares' elements on the first axis or the first two, rows first. Images may
be held in 16 bits: they are computed with, and summed, in float32.
"""

import numpy as np
import tensorflow as tf

from mocotf.nn.kernels.convolution import Ways

G = ((1, 0, 0), (0.5, 0.5, 0.5), (0.5, -0.5, 0.5), (0, 0, 1))
AT = np.array([[1, 1, 1, 0], [0, 1, -1, -1]])
# Each row of Bᵀ takes one of four pixels, and adds or subtracts another.
ONE, OTHER, SIGN = np.array([[0, 1, 2, 1], [2, 2, 1, 3], [-1, 1, -1, -1]])
# One product, with the Kronecker square of G, transforms the rows and the columns of kernels.
GG = np.kron(G, G)


def convolution(x, kernel):
    """Returns `tf.nn.conv2d` of stride 1 and padding "SAME", to a few roundings: `[n, H, W, Co]`.

    Args:
        x: `[n, H, W, Ci]`, H and W known.
        kernel: `[3, 3, Ci, Co]`, of x's dtype.
    """
    # oneDNN multiplies by a transposed matrix in a sixth less time, by large ones in a third less.
    U = tf.transpose(_transform(GG, _flat(kernel)), [0, 2, 1])
    M = tf.matmul(_input_tiles(x), U, transpose_b=True)
    return _image(M, *x.shape[1:3], x.dtype)


def input_gradient(x, kernel, dy):
    """Returns the gradient for x of `convolution`, of the one for its result: `[n, H, W, Ci]`."""
    turned = _transform(GG[:, ::-1], _flat(kernel))
    M = tf.matmul(_input_tiles(dy), turned, transpose_b=True)
    return _image(M, *x.shape[1:3], x.dtype)


def kernel_gradient(x, kernel, dy):
    """Returns the gradient for the kernel of `convolution`: `[3, 3, Ci, Co]`."""
    # V is made again: to keep it would take four times the memory of x.
    dU = tf.matmul(_input_tiles(x), _output_tiles(dy), transpose_a=True)
    return tf.cast(tf.reshape(_transform(GG.T, dU), kernel.shape), kernel.dtype)


WAYS = Ways(convolution, input_gradient, kernel_gradient)


def _wide(x):
    return tf.cast(x, tf.float64 if x.dtype == tf.float64 else tf.float32)


def _flat(kernel):
    return _wide(tf.reshape(kernel, [9, *kernel.shape[2:]]))


def _transform(matrix, x):
    """Returns matrix `[a, b]` · x `[b, Ci, Co]`."""
    product = tf.matmul(tf.constant(matrix, x.dtype), tf.reshape(x, [len(matrix[0]), -1]))
    return tf.reshape(product, [len(matrix), *x.shape[1:]])


# XLA makes of each of these one loop, which reads no tensor that it has written.


@tf.function(jit_compile=True, autograph=False)
def _input_tiles(x):
    """Returns V = Bᵀ d B of every 4×4 pixels d, `[16, tiles, Ci]`."""
    H, W, C = x.shape[1:]
    x = tf.pad(x, [[0, 0], [1, 1 + H % 2], [1, 1 + W % 2], [0, 0]])
    rows = _combine(_wide(x), axis=1)  # [n, 4, h, W + 2, C]
    V = _combine(rows, axis=3)  # [n, 4, h, 4, w, C]
    return tf.reshape(tf.transpose(V, [1, 3, 0, 2, 4, 5]), [16, -1, C])


def _combine(x, axis):
    """Returns Bᵀ · every four pixels, two apart, along an axis: `[…, 4, tiles, …]` in its place."""
    begin = 2 * np.arange(x.shape[axis] // 2 - 1)
    one, other = (tf.gather(x, begin + at[:, None], axis=axis) for at in (ONE, OTHER))
    return one + _along(axis, SIGN, one) * other


def _along(axis, values, x):
    """Returns `values` as x's type, to multiply x with along an axis."""
    return tf.constant(values.reshape([-1] + [1] * (len(x.shape) - axis - 1)), x.dtype)


@tf.function(jit_compile=True, autograph=False)
def _output_tiles(dy):
    """Returns the gradient for M = `_input_tiles` · U of the one for the output, `[16, tiles, Co]`."""
    H, W, C = dy.shape[1:]
    dy = tf.pad(dy, [[0, 0], [0, H % 2], [0, W % 2], [0, 0]])
    pixels = tf.reshape(_wide(dy), [-1, (H + 1) // 2, 2, (W + 1) // 2, 2, C])
    dM = 0
    for a, rows in enumerate(AT):
        for b, columns in enumerate(AT):
            pixel = pixels[None, None, :, :, a, :, b]  # [1, 1, n, h, w, C]
            dM += _along(0, rows, pixel) * _along(1, columns, pixel) * pixel
    return tf.reshape(dM, [16, -1, C])


@tf.function(jit_compile=True, autograph=False)
def _image(M, H, W, dtype):
    """Returns the image `[n, H, W, C]` of Aᵀ M A, 2×2 pixels a tile, `M` `[16, tiles, C]`."""
    h, w, C = (H + 1) // 2, (W + 1) // 2, M.shape[-1]
    M = tf.reshape(M, [4, 4, -1, h, w, C])
    y = 0
    # Rows of Aᵀ have three elements other than 0, the second's one further on.
    for i in range(3):
        for j in range(3):
            rows, columns = (AT[[0, 1], [at, at + 1]] for at in (i, j))
            part = M[i : i + 2, j : j + 2]  # [2, 2, n, h, w, C]
            y += _along(0, rows, part) * _along(1, columns, part) * part
    y = tf.reshape(tf.transpose(y, [2, 3, 0, 4, 1, 5]), [-1, 2 * h, 2 * w, C])
    return tf.cast(y[:, :H, :W], dtype)
