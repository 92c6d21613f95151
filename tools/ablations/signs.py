"""The papers' claims on real pictures: a grid on CIFAR-10, with flags/signs.cfg for the base recipe.

Nothing is tuned for a row: each differs from the base in what its name says.

What came out opposite to the papers is looked at again in a group of its own: with twice the steps,
and SimCLR beside a queue about as short as its batch.
"""

from tools.ablations.claims import ABOVE
from tools.ablations.claims import EQUAL
from tools.ablations.claims import NOT_BELOW
from tools.ablations.claims import Claim
from tools.ablations.grids import Group
from tools.ablations.grids import Row

BASE = Row("MoCo v2 (the base recipe)", "", "67.5")
M_0 = Row("m 0", "--moco_m=0", "fails")
M_9 = Row("m .9", "--moco_m=0.9", "55.2")
K_256 = Row("K 256", "--moco_k=256")
K_128 = Row("K 128", "--moco_k=128")
LINEAR = Row("linear head", "--mlp=false", "63.4")
NO_BLUR = Row("v1's augmentation", "--aug_plus=false", "66.2")
OFF_8 = Row("8 BN groups, not shuffled", "--shuffle_bn=off")
ON_16 = Row("16 BN groups", "--bn_splits=16")
OFF_16 = Row("16 BN groups, not shuffled", "--bn_splits=16 --shuffle_bn=off")
BANK = Row("memory bank", "--mechanism=memory_bank", "58.0")
END = Row("end-to-end", "--mechanism=end_to_end")
SIMCLR = Row("SimCLR, in the time of the base", "--mechanism=simclr --epochs=70%", "61.9")
_SIMSIAM = "--mechanism=simsiam --moco_dim=512 --predictor_dim=128"
SIMSIAM = Row("SimSiam, in the time of the base", f"{_SIMSIAM} --epochs=70%", "68.1")
BASE_LONG = Row("MoCo v2, twice as long", "--epochs=200%")
K_256_LONG = Row("K 256, twice as long", f"{K_256.flags} --epochs=200%")
LINEAR_LONG = Row("linear head, twice as long", f"{LINEAR.flags} --epochs=200%")
SIMSIAM_LONG = Row("SimSiam, twice as long", f"{_SIMSIAM} --epochs=140%")


def _claim(text, row, other, sign, published, metric="knn_top1"):
    return Claim(text, row.name, other.name, sign, published, metric)


SIGNS = Group(
    "signs",
    "The papers' claims, on CIFAR-10",
    "v1, §4.1, Figure 3 and Figure A.1; v2, Tables 1 and 2; SimSiam, Table 4, after 100 epochs.",
    (
        *(BASE, M_0, M_9, K_256, K_128, LINEAR, NO_BLUR),
        *(OFF_8, ON_16, OFF_16, BANK, END, SIMCLR, SIMSIAM),
    ),
    claims=(
        _claim("without momentum it fails", BASE, M_0, ABOVE, "does not train"),
        _claim("m .99 is above .9", BASE, M_9, ABOVE, "57.8, 55.2"),
        _claim("K 4,096 is not below 256", BASE, K_256, NOT_BELOW, "more keys, better"),
        _claim("an MLP head helps", BASE, LINEAR, ABOVE, "67.3, 63.4"),
        _claim("v2's augmentation helps", BASE, NO_BLUR, ABOVE, "67.3, 66.2"),
        _claim("8 groups: unshuffled, acc1 rises", OFF_8, BASE, ABOVE, "above 99.9", "acc1"),
        _claim("8 groups: unshuffled, kNN falls", BASE, OFF_8, ABOVE, "falls"),
        _claim("16 groups: unshuffled, acc1 rises", OFF_16, ON_16, ABOVE, "above 99.9", "acc1"),
        _claim("16 groups: unshuffled, kNN falls", ON_16, OFF_16, ABOVE, "falls"),
        _claim("MoCo is above the memory bank", BASE, BANK, ABOVE, "60.6, 58.0"),
        _claim("MoCo is as good as end-to-end, at K 128", K_128, END, EQUAL, "as good"),
        _claim("MoCo v2 is above SimCLR, at equal time", BASE, SIMCLR, ABOVE, "67.5, 61.9"),
        _claim("MoCo v2 is as good as SimSiam, at equal time", BASE, SIMSIAM, EQUAL, "67.4, 68.1"),
    ),
)

LONGER = Group(
    "signs_longer",
    "The opposite ones, looked at again",
    "as above.",
    (
        *(BASE, K_256, LINEAR, SIMCLR, SIMSIAM),
        *(BASE_LONG, K_256_LONG, LINEAR_LONG, SIMSIAM_LONG),
    ),
    claims=(
        _claim("K 4,096 is not below 256", BASE_LONG, K_256_LONG, NOT_BELOW, "more keys, better"),
        _claim("an MLP head helps", BASE_LONG, LINEAR_LONG, ABOVE, "67.3, 63.4"),
        _claim("MoCo v2 is as good as SimSiam", BASE_LONG, SIMSIAM_LONG, EQUAL, "67.4, 68.1"),
        _claim("MoCo v2 with K 256 is as good as SimCLR, at equal time", K_256, SIMCLR, EQUAL, "–"),
    ),
)
