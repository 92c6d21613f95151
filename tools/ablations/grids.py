"""What tools/ablate.py compares: groups of rows, each row the flags that differ from the base recipe.

Flags are those of mocotf.train, for the scale of flags/demo.cfg: batches of 128, 4 BN groups of 32, a
rate of .12, K 1024, m .99, T .2. A larger batch has a rate and BN groups in proportion. In --schedule
60% stands for that share of the run, in --epochs of the base recipe's. Rows with the same flags are one
run, whatever groups they are in.
"""

import dataclasses

REDUCED_EPOCHS = 3  # of a run of the reduced grid


@dataclasses.dataclass(frozen=True)
class Row:
    """One line of a table.

    Attributes:
        name: for people; unique in its group.
        flags: that differ from the base recipe.
        published: the paper's number, linear top-1 on ImageNet unless the group says otherwise.
        reduced: seeds that the reduced grid runs, from 0 on; 0: it leaves the row out.
        curve: name of the curve of the group's figure that this is a point of, or that it is.
        x: place on that curve.
    """

    name: str
    flags: str = ""
    published: str = ""
    reduced: int = 0
    curve: str = ""
    x: int | None = None


@dataclasses.dataclass(frozen=True)
class Group:
    """One table, and perhaps figures.

    Attributes:
        name: what --grid and the markers in the document call it.
        title: for people.
        paper: what the papers say, a sentence or two.
        rows: its `Row`s.
        figures: "x": accuracy against `Row.x`; "steps": acc1 and accuracy against steps.
        x_name: of the axis of "x".
        claims: `Claim`s about its rows.
    """

    name: str
    title: str
    paper: str
    rows: tuple[Row, ...]
    figures: str = ""
    x_name: str = ""
    claims: tuple = ()


def _moco_k(K, published="", reduced=0):
    flags = "" if K == 1024 else f"--moco_k={K}"
    return Row(f"MoCo, K {K:,}", flags, published, reduced, "MoCo", K)


def _bank_k(K, reduced=0):
    return Row(
        f"memory bank, K {K:,}",
        f"--mechanism=memory_bank --moco_k={K}",
        reduced=reduced,
        curve="memory bank",
        x=K,
    )


def _end_to_end(batch, reduced=0):
    flags = "--mechanism=end_to_end"
    if batch != 128:
        flags += f" --batch_size={batch} --bn_splits={batch // 32} --lr={0.12 * batch / 128:g}"
    return Row(f"end-to-end, batch {batch}", flags, reduced=reduced, curve="end-to-end", x=batch)


BASE = Row("MoCo (the base recipe)", reduced=3)
V2 = Row("MLP + blur + cosine (v2)", "--blur_prob=0.5", "67.5", 1)
NPID = "--mechanism=npid --bank_m=0"  # entries are replaced, as in the paper
NCE = f"{NPID} --lr=0.003"  # its loss is a sum over K negatives: at .12 nothing is learned
NOT_V2 = "--cos=false --schedule=60%,80%"

MECHANISMS = Group(
    "mechanisms",
    "The mechanisms, all else equal",
    "MoCo 60.6 and memory bank 58.0, both with K 65,536, and the bank with NCE and K 4,096 54.3 (v1, "
    "Figure 3 and §4.1); NPID's own 54.0 (v1, Table 1). The v2 paper has SimCLR at 61.9 with batches "
    "of 256, at 66.6 with 8,192, where MoCo v2 has 67.5, all after 200 epochs.",
    (
        dataclasses.replace(BASE, published="60.6"),
        dataclasses.replace(_end_to_end(128, reduced=1), name="end-to-end"),
        dataclasses.replace(_bank_k(1024, reduced=1), name="memory bank", published="58.0"),
        Row("NPID, λ 30", NCE, "54.0", 1),
        Row("NPID, λ 0", f"{NCE} --proximal=0", reduced=1),
        Row("NPID, λ 0, entries move by half", f"{NCE} --proximal=0 --bank_m=0.5"),
        Row("NPID, λ 30, full softmax", f"{NPID} --npid_softmax=full", reduced=1),
        Row("NPID, λ 0, full softmax", f"{NPID} --npid_softmax=full --proximal=0"),
        dataclasses.replace(V2, name="MoCo v2: MLP + blur + cosine"),
        Row(
            "SimCLR: end-to-end, v2's pieces, symmetric, batch 128",
            "--mechanism=end_to_end --blur_prob=0.5 --symmetric=true",
            "61.9 (batch 256)",
            1,
        ),
        Row(
            "SimCLR: the same, batch 512",
            "--mechanism=end_to_end --blur_prob=0.5 --symmetric=true --batch_size=512 --bn_splits=16 "
            "--lr=0.48",
            "66.6 (batch 8,192)",
        ),
    ),
)

NEGATIVES = Group(
    "negatives",
    "Accuracy against the number of negatives, three mechanisms (Figure 3 of v1)",
    "All three gain from more negatives. MoCo has 59.0, 60.4 and 60.6 at K 4,096, 16,384 and 65,536, "
    "the memory bank 58.0 at 65,536; end-to-end is near MoCo at equal K, and ends at the 1,024 that "
    "memory holds. For end-to-end K is the batch, at a rate in proportion and over the same epochs.",
    (
        _moco_k(128),
        _moco_k(256, reduced=1),
        _moco_k(512),
        _moco_k(1024, reduced=3),
        _moco_k(2048),
        _moco_k(4096, "59.0", 1),
        _bank_k(128),
        _bank_k(256),
        _bank_k(512),
        _bank_k(1024, reduced=1),
        _bank_k(2048),
        _bank_k(4096, reduced=1),
        _end_to_end(64, reduced=1),
        _end_to_end(128, reduced=1),
        _end_to_end(256),
        _end_to_end(512, reduced=1),
    ),
    figures="x",
    x_name="K",
)

MOMENTUM = Group(
    "momentum",
    "The key encoder's momentum m",
    "v1, §4.1, with K 4,096: it needs a slow key encoder, and without momentum does not train at all.",
    (
        Row("m 0", "--moco_m=0", "fails", 1),
        Row("m .9", "--moco_m=0.9", "55.2", 1),
        dataclasses.replace(BASE, name="m .99 (the base recipe)", published="57.8"),
        Row("m .999", "--moco_m=0.999", "59.0", 1),
        Row("m .9999", "--moco_m=0.9999", "58.9", 1),
    ),
)

TEMPERATURE = Group(
    "temperature",
    "The temperature T",
    "v2, Table 2, with the MLP head.",
    (
        Row("T .05", "--moco_t=0.05"),
        Row("T .07", "--moco_t=0.07", "62.9", 1),
        Row("T .1", "--moco_t=0.1", "64.9"),
        dataclasses.replace(BASE, name="T .2 (the base recipe)", published="66.2"),
        Row("T .3", "--moco_t=0.3", "65.7"),
        Row("T .4", "--moco_t=0.4", "65.0", 1),
        Row("T .5", "--moco_t=0.5", "64.3"),
    ),
)

QUEUE = Group(
    "queue",
    "The length K of the queue",
    "v2 hardly depends on it: 67.0, 67.1 and 67.5 with K 256, 1,024 and 65,536 (not the paper's: "
    "EqCo's numbers, quoted in issue 62 of the authors' repository).",
    (
        _moco_k(128),
        _moco_k(256, "67.0", 1),
        _moco_k(512),
        _moco_k(1024, "67.1", 3),
        _moco_k(2048),
        _moco_k(4096, reduced=1),
    ),
)

SHUFFLE = Group(
    "shuffle",
    "Shuffled batch norm (Figure A.1 of v1)",
    "Without it pretext accuracy is above 99.9 soon while kNN falls: batch statistics give away which "
    "key is the query's. MoCo and end-to-end suffer, the memory bank does not.",
    (
        Row("MoCo, 4 BN groups, shuffled", reduced=3, curve="MoCo, 4 groups"),
        Row("MoCo, 4 BN groups, not shuffled", "--shuffle_bn=off", "", 1, "MoCo, 4 groups"),
        Row("MoCo, 16 BN groups, shuffled", "--bn_splits=16", "", 1, "MoCo, 16 groups"),
        Row(
            "MoCo, 16 BN groups, not shuffled",
            "--bn_splits=16 --shuffle_bn=off",
            "",
            1,
            "MoCo, 16 groups",
        ),
        Row("end-to-end, 4 BN groups, shuffled", "--mechanism=end_to_end", "", 1, "end-to-end"),
        Row(
            "end-to-end, 4 BN groups, not shuffled",
            "--mechanism=end_to_end --shuffle_bn=off",
            curve="end-to-end",
        ),
    ),
    figures="steps",
)

PIECES = Group(
    "pieces",
    "From v1 to v2, piece by piece",
    "v2, Table 1. The paper's v1 has T .07, its v2 T .2; here T is the base recipe's in all rows, the "
    "schedule without cosine falls to a tenth at 60 and 80 % of the run, and the jitter stays.",
    (
        Row("linear head, no blur, steps (v1)", f"--mlp=false {NOT_V2}", "60.6", 1),
        Row("MLP", NOT_V2, "66.2", 1),
        Row("blur", f"--mlp=false --blur_prob=0.5 {NOT_V2}", "63.4", 1),
        Row("MLP + blur", f"--blur_prob=0.5 {NOT_V2}", "67.3", 1),
        V2,
        dataclasses.replace(BASE, name="MLP + cosine (the base recipe)"),
    ),
)

GROUPS = (MECHANISMS, NEGATIVES, MOMENTUM, TEMPERATURE, QUEUE, SHUFFLE, PIECES)
