"""Embeds pictures with an exported encoder, as TF Serving would; needs TensorFlow, not mocotf.

    python -m mocotf.export --model_dir=runs/mine --export_dir=serving/mine
    python examples/serve_embeddings.py serving/mine cat.jpg dog.jpg

Prints how alike each two of the pictures are: the cosine of their embeddings.
"""

import argparse
import os

import tensorflow as tf

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("folder", help="folder of a model's versions, of which the newest is taken")
parser.add_argument("pictures", nargs="+", help="files of pictures, of any sizes")
asked = parser.parse_args()

version = max((name for name in os.listdir(asked.folder) if name.isdigit()), key=int)
model = tf.saved_model.load(os.path.join(asked.folder, version))
files = [tf.io.read_file(path) for path in asked.pictures]
answer = model.signatures["serving_default"](image_bytes=tf.stack(files))

embedding = answer["embedding"]  # float32 [n, D], of length 1
cosines = tf.linalg.matmul(embedding, embedding, transpose_b=True).numpy()
for path, valid, row in zip(asked.pictures, answer["valid"].numpy(), cosines, strict=True):
    print(path, " ".join(f"{cosine:6.3f}" for cosine in row) if valid else "is no image")
