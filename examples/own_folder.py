"""Pre-trains on a folder of pictures, and writes what can be done with it: a page and vectors.

    python examples/own_folder.py my_photos runs/mine --minutes=10

Ctrl-C saves the run, and the same command goes on. The nearest neighbours of any picture are then one
matrix product away.
"""

import argparse

import numpy as np

import mocotf

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("pictures", help="folder of pictures, in any sub-folders")
parser.add_argument("out", help="run directory")
parser.add_argument("--minutes", type=float, default=30, help="to train for")
asked = parser.parse_args()

run = mocotf.pretrain(asked.pictures, asked.out, minutes=asked.minutes)
print(run.verdict)
print("written:", run.report(f"{asked.out}/report.html"))

names, vectors = run.embed(asked.pictures, output="embedding")  # float32 [N, D], of length 1
np.savez(f"{asked.out}/vectors.npz", names=names, vectors=vectors)
order = np.argsort(-vectors[0] @ vectors.T)
print(f"nearest to {names[0]}:", *(names[place] for place in order[1:4]))
