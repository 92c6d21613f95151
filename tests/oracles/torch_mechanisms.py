"""Oracles in PyTorch: end-to-end, memory bank, NPID (arXiv 1805.01978), SimCLR (2002.05709) and SimSiam
(2011.10566).

All are for one process; replicas and BN splits are groups of the encoder's batch norm, as in
`torch_moco`. With equal shares the mean over replicas is the mean over the batch.
"""

import copy
import math

import torch
import torch.nn.functional as F

from tests.oracles.torch_moco import info_nce


class EndToEndOracle:
    """Dictionary of the batch: keys have an encoder of their own, trained by back-propagation.

    Args:
      encoder: the query encoder; the key encoder starts as its copy.
      T: temperature.
      momentum, weight_decay: of the one SGD over both encoders; every parameter decays.
      symmetric: whether the loss is the sum of both directions (views swapped).
    """

    def __init__(self, encoder, *, T, momentum=0.9, weight_decay=1e-4, symmetric=False):
        self.encoder_q = encoder
        self.encoder_k = copy.deepcopy(encoder)
        self.T, self.symmetric = T, symmetric
        self.optimizer = sgd([self.encoder_q, self.encoder_k], momentum, weight_decay)

    def step(self, x_q, x_k, lr, permutation):
        """Takes one training step.

        Args:
          x_q, x_k: the two views, [N, 3, H, W] each.
          lr: learning rate of this step.
          permutation: [N] the shuffle: place i of the shuffled batch holds image permutation[i].
            Symmetric: a pair, the second one for direction 2 (queries x_k, keys x_q).

        Returns:
          (loss, logits): a scalar and [N, N]; symmetric: the sum and [2, N, N].
        """
        self.encoder_q.train()
        self.encoder_k.train()
        views = [(x_q, x_k), (x_k, x_q)] if self.symmetric else [(x_q, x_k)]
        permutations = permutation if self.symmetric else [permutation]
        losses, logits = [], []
        for (queries, keys), p in zip(views, permutations, strict=True):
            k = self.encode_keys(keys, p)
            q = F.normalize(self.encoder_q(queries), dim=1)
            scores = q @ k.T / self.T  # [N, N]: row i's own key is column i, the others its negatives
            losses.append(F.cross_entropy(scores, torch.arange(len(q))))
            logits.append(scores.detach())
        loss = descend(self.optimizer, sum(losses), lr)
        return loss, torch.stack(logits) if self.symmetric else logits[0]

    def encode_keys(self, x_k, permutation):
        """Encodes the shuffled images, with gradient; keys [N, C] in the order of x_k."""
        permutation = torch.as_tensor(permutation)
        if sorted(permutation.tolist()) != list(range(len(x_k))):
            raise ValueError(f"no permutation of {len(x_k)} images: {permutation.tolist()}")
        k = F.normalize(self.encoder_k(x_k[permutation]), dim=1)
        return k[torch.argsort(permutation)]


class BankOracle:
    """One encoder and a bank of what it last made of each image; `objective` is the mechanism's.

    Args:
      encoder: the encoder; one forward pass a step.
      bank: [N_data, C] rows of unit length, one per image; copied.
      T: temperature.
      bank_m: share of the old row in the new one, in [0, 1).
      momentum, weight_decay: of SGD; every parameter decays.
    """

    def __init__(self, encoder, bank, *, T, bank_m=0.5, momentum=0.9, weight_decay=1e-4):
        self.encoder = encoder
        self.bank = bank.detach().clone()  # [N_data, C]
        self.T, self.bank_m = T, bank_m
        self.optimizer = sgd([encoder], momentum, weight_decay)

    def step(self, x, rows, negatives, lr):
        """Takes one training step.

        Args:
          x: [n, 3, H, W].
          rows: [n] which image, and row of the bank, each x is.
          negatives: rows of the bank; their shape is the mechanism's. A query's own may be among them.
          lr: learning rate of this step.

        Returns:
          (loss, logits): a scalar and what the mechanism compares, the bank being as before the step.
        """
        self.encoder.train()
        f = F.normalize(self.encoder(x), dim=1)  # [n, C]
        loss, logits = self.objective(f, torch.as_tensor(rows), negatives)
        loss = descend(self.optimizer, loss, lr)
        self.update(rows, f.detach())
        return loss, logits.detach()

    def update(self, rows, f):
        """bank[rows] ← normalize(bank_m · old + (1 − bank_m) · f); of equal rows the first counts."""
        written = set()
        for row, f_i in zip(torch.as_tensor(rows).tolist(), f, strict=True):
            if row not in written:
                new = self.bank_m * self.bank[row] + (1 - self.bank_m) * f_i
                self.bank[row] = F.normalize(new, dim=0)
            written.add(row)


class MemoryBankOracle(BankOracle):
    """MoCo's loss on keys out of the bank; the step's K negatives are shared by the whole batch.

    `step` takes negatives [K] and returns logits [n, 1 + K]. Arguments are those of `BankOracle`.
    """

    def objective(self, f, rows, negatives):
        return info_nce(f, self.bank[rows], self.bank[torch.as_tensor(negatives)], self.T)


class NPIDOracle(BankOracle):
    """Every image a class: P(i|f) = exp(v_i·f / T) / Z, and the proximal term of NPID's Eq. 9.

    `step` takes negatives [n, m] and returns logits [n, 1 + m], the positive first; with the full
    softmax it takes None and returns [n, N_data].

    Args:
      encoder, bank, bank_m, options: as in `BankOracle`.
      proximal: λ of the term λ ‖f − v_old‖².
      softmax: "nce", whose Z is estimated in the first step and constant from then on, or "full".
    """

    def __init__(self, encoder, bank, *, proximal=30.0, bank_m=0.0, softmax="nce", **options):
        super().__init__(encoder, bank, bank_m=bank_m, **options)
        if softmax not in ("nce", "full"):
            raise ValueError(f"softmax must be 'nce' or 'full', got {softmax!r}")
        self.proximal, self.softmax = proximal, softmax
        self.Z = None

    def objective(self, f, rows, negatives):
        positive = self.bank[rows]  # [n, C]
        if self.softmax == "full":
            logits = f @ self.bank.T / self.T
            loss = F.cross_entropy(logits, rows)
        else:
            v = self.bank[torch.as_tensor(negatives)]  # [n, m, C]
            if self.Z is None:
                self.Z = estimate_z(f, v, self.T, len(self.bank))
            loss, logits = nce(f, positive, v, self.Z, self.T, len(self.bank))
        return loss + self.proximal * (f - positive).square().sum(1).mean(), logits


class SimCLROracle:
    """One encoder for both views; NT-Xent over all 2N of them (arXiv 2002.05709, Eq. 1, Algorithm 1).

    Args:
      encoder: of both views.
      T: temperature.
      weight_decay: of SGD; every parameter decays.
    """

    def __init__(self, encoder, *, T, weight_decay):
        self.encoder, self.T = encoder, T
        self.optimizer = sgd([encoder], 0.9, weight_decay)

    def step(self, x_1, x_2, lr):
        """Takes one training step on two views, [N, 3, H, W] each; returns the loss."""
        z = torch.stack([self.encoder(x_1), self.encoder(x_2)], 1).flatten(0, 1)  # 2k and 2k+1: a pair
        s = F.cosine_similarity(z[:, None], z[None], dim=2) / self.T
        terms = []
        for i in range(len(z)):
            others = [k for k in range(len(z)) if k != i]
            terms.append(torch.logsumexp(s[i, others], 0) - s[i, i ^ 1])
        return descend(self.optimizer, torch.stack(terms).mean(), lr)


class SimSiamOracle:
    """One encoder and a predictor, of which each view's is to be the other view's projection.

    Args:
      encoder: a `ResNet`, whose `fc` is replaced by the projector.
      hidden: width of the predictor between its layers.
      lr: the predictor's learning rate, whatever the step's is.
      weight_decay: of SGD; every parameter decays.
    """

    def __init__(self, encoder, *, hidden, lr, weight_decay):
        C, dim, dtype = encoder.channels, encoder.fc.out_features, encoder.fc.weight.dtype
        encoder.fc = torch.nn.Sequential(
            torch.nn.Linear(C, C, bias=False), torch.nn.BatchNorm1d(C), torch.nn.ReLU(),
            torch.nn.Linear(C, C, bias=False), torch.nn.BatchNorm1d(C), torch.nn.ReLU(),
            torch.nn.Linear(C, dim, bias=False), torch.nn.BatchNorm1d(dim, affine=False),
        ).to(dtype)  # fmt: skip
        self.encoder = encoder
        self.predictor = torch.nn.Sequential(
            torch.nn.Linear(dim, hidden, bias=False), torch.nn.BatchNorm1d(hidden), torch.nn.ReLU(),
            torch.nn.Linear(hidden, dim),
        ).to(dtype)  # fmt: skip
        self.optimizer = sgd([encoder], 0.9, weight_decay)
        self.lr, self.optimizer_h = lr, sgd([self.predictor], 0.9, weight_decay)

    def step(self, x_1, x_2, lr):
        """Takes one training step on two views, [N, 3, H, W] each; returns the loss."""
        z_1, z_2 = self.encoder(x_1), self.encoder(x_2)
        p_1, p_2 = self.predictor(z_1), self.predictor(z_2)
        cosines = F.cosine_similarity(p_1, z_2.detach()) + F.cosine_similarity(p_2, z_1.detach())
        self.optimizer_h.zero_grad()
        loss = descend(self.optimizer, -cosines.mean() / 2, lr)
        self.optimizer_h.param_groups[0]["lr"] = self.lr
        self.optimizer_h.step()
        return loss


def sgd(encoders, momentum, weight_decay):
    """v ← momentum · v + (g + wd · w); w ← w − lr · v, over every parameter of the encoders."""
    parameters = [p for encoder in encoders for p in encoder.parameters()]
    return torch.optim.SGD(parameters, lr=0.0, momentum=momentum, weight_decay=weight_decay)


def descend(optimizer, loss, lr):
    """One step of SGD; returns the loss without its graph."""
    for group in optimizer.param_groups:
        group["lr"] = lr
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    optimizer.step()
    return loss.detach()


def nce(f, positive, negatives, Z, T, N):
    """Noise-contrastive estimation: with Pn = 1 / N and h(i, f) = P(i|f) / (P(i|f) + m Pn)

    loss = mean over the batch of −log h(own row) − Σ over its m negatives of log(1 − h(negative)).

    Args:
      f, positive: [n, C] unit rows.
      negatives: [n, m, C], drawn uniformly from the bank's N rows.
      Z: normalising constant of P(i|f) = exp(v_i·f / T) / Z.

    Returns:
      (loss, logits): a scalar and v·f / T [n, 1 + m], the positive first.
    """
    logits = torch.einsum("nkc,nc->nk", torch.cat([positive[:, None], negatives], 1), f) / T
    m = negatives.shape[1]
    odds = logits - math.log(Z) - math.log(m / N)  # h = P / (P + m Pn) = sigmoid(log P − log(m Pn))
    data, noise = F.logsigmoid(odds[:, 0]), F.logsigmoid(-odds[:, 1:])
    return -(data + noise.sum(1)).mean(), logits


def estimate_z(f, negatives, T, N):
    """Z ≈ N · mean of exp(v·f / T) over f [n, C] and its negatives [n, m, C], a number."""
    return N * (torch.einsum("nmc,nc->nm", negatives, f) / T).exp().mean().item()
