"""3×3 convolutions of stride 1 with 2.25 times fewer products: Winograd's filtering F(2×2, 3×3).

Lavin & Gray, arXiv 1509.09308, §4.1, with their letters: 4×4 pixels of the input, two apart, become V,
a kernel becomes U, and their product M, a matrix for each of 16 elements, 2×2 pixels of the output.
What is transformed has its squares' elements on the first axis, so that one product, with the
Kronecker square of their matrix, transforms rows and columns.
"""

import numpy as np
import tensorflow as tf

BT = ((1, 0, -1, 0), (0, 1, 1, 0), (0, -1, 1, 0), (0, 1, 0, -1))
G = ((1, 0, 0), (0.5, 0.5, 0.5), (0.5, -0.5, 0.5), (0, 0, 1))
AT = ((1, 1, 1, 0), (0, 1, -1, -1))
GG, AA = np.kron(G, G), np.kron(AT, AT).T


def convolution(x, kernel):
    """Returns `tf.nn.conv2d` of stride 1 and padding "SAME", to a few roundings: `[n, H, W, Co]`.

    Args:
        x: `[n, H, W, Ci]`, H and W known.
        kernel: `[3, 3, Ci, Co]`, of x's dtype.
    """
    M = tf.matmul(_input_tiles(x), _transform(GG, _flat(kernel)))
    return _image(_transform(AA.T, M), *x.shape[1:3])


def input_gradient(dy, kernel):
    """Returns the gradient for x of `convolution`, of the one for its result: `[n, H, W, Ci]`."""
    turned = _transform(GG[:, ::-1], _flat(kernel))
    M = tf.matmul(_input_tiles(dy), turned, transpose_b=True)
    return _image(_transform(AA.T, M), *dy.shape[1:3])


def kernel_gradient(x, dy):
    """Returns the gradient for the kernel of `convolution`: `[3, 3, Ci, Co]`."""
    # V is made again: to keep it would take four times the memory of x.
    dU = tf.matmul(_input_tiles(x), _transform(AA, _squares(dy)), transpose_a=True)
    return tf.reshape(_transform(GG.T, dU), [3, 3, x.shape[-1], dy.shape[-1]])


def _flat(kernel):
    return tf.reshape(kernel, [9, *kernel.shape[2:]])


def _transform(matrix, x):
    """Returns matrix `[a, b]` · x `[b, n, C]`."""
    product = tf.matmul(tf.constant(matrix, x.dtype), tf.reshape(x, [len(matrix[0]), -1]))
    return tf.reshape(product, [len(matrix), -1, x.shape[-1]])


@tf.function(jit_compile=True, autograph=False)  # one pass over memory in place of 16
def _input_tiles(x):
    """Returns V = Bᵀ d B of every 4×4 pixels d, `[16, tiles, Ci]`."""
    H, W, C = x.shape[1:]
    x = tf.pad(x, [[0, 0], [1, 1 + H % 2], [1, 1 + W % 2], [0, 0]])
    rows = _combine([x[:, i : i + H : 2] for i in range(4)])
    tiles = [_combine([row[:, :, j : j + W : 2] for j in range(4)]) for row in rows]
    return tf.stack([tf.reshape(tile, [-1, C]) for row in tiles for tile in row])


def _combine(four):
    """Returns Bᵀ · four tensors."""
    terms = [[b * x for b, x in zip(row, four, strict=True) if b] for row in BT]
    return [a + b for a, b in terms]


def _image(squares, H, W):
    """Returns the image `[n, H, W, C]` of 2×2 pixels `[4, n h w, C]`."""
    h, w, C = (H + 1) // 2, (W + 1) // 2, squares.shape[-1]
    pixels = tf.transpose(tf.reshape(squares, [2, 2, -1, h, w, C]), [2, 3, 0, 4, 1, 5])
    return tf.reshape(pixels, [-1, 2 * h, 2 * w, C])[:, :H, :W]


def _squares(image):
    """Returns the inverse of `_image`, with zeros where squares reach beyond."""
    H, W, C = image.shape[1:]
    h, w = (H + 1) // 2, (W + 1) // 2
    image = tf.pad(image, [[0, 0], [0, H % 2], [0, W % 2], [0, 0]])
    pixels = tf.transpose(tf.reshape(image, [-1, h, 2, w, 2, C]), [2, 4, 0, 1, 3, 5])
    return tf.reshape(pixels, [4, -1, C])
