"""Oracle: Algorithm 1 of MoCo (arXiv 1911.05722) in plain PyTorch, for one process."""

import copy

import torch
import torch.nn.functional as F


class MoCoOracle:
    """MoCo: two encoders, the queue, torch.optim.SGD; N replicas are N groups of the batch norm.

    Replicas and BN splits are expressed by the encoder (`ResNet(bn_groups=…, running=…)`): replica
    r holds the r-th contiguous slice of the batch. With equal shares the mean over replicas of each
    replica's mean loss is the mean over the batch, and so are the gradients.

    With accumulation a step passes through its batch in micro-batches: the a-th holds the a-th
    contiguous part of every replica's slice, and the shuffle stays within it.

    Args:
      encoder: the query encoder; the key encoder starts as its copy.
      queue: [K, C] rows of unit length, oldest at row 0; copied.
      m, T: momentum of the key encoder, temperature.
      momentum, weight_decay: of SGD; the decay is coupled and on every parameter.
      symmetric: whether the loss is the sum of both directions (views swapped).
      accumulation: number of micro-batches a step.
      replicas: what the groups stand for; tells where micro-batches lie.
    """

    def __init__(
        self, encoder, queue, m=0.999, T=0.07, momentum=0.9, weight_decay=1e-4, symmetric=False,
        accumulation=1, replicas=1,
    ):  # fmt: skip
        self.encoder_q = encoder
        self.encoder_k = copy.deepcopy(encoder).requires_grad_(False)  # θk ← θq
        self.queue = queue.detach().clone()  # [K, C]
        self.queue_ptr = 0
        self.m, self.T, self.symmetric = m, T, symmetric
        self.accumulation, self.replicas = accumulation, replicas
        # As in the original θk is listed too; without gradients it sees neither step nor decay.
        self.optimizer = torch.optim.SGD(
            [*self.encoder_q.parameters(), *self.encoder_k.parameters()],
            lr=0.0, momentum=momentum, weight_decay=weight_decay,
        )  # fmt: skip

    def step(self, x_q, x_k, lr, permutation):
        """Takes one training step.

        Args:
          x_q, x_k: the two views, [N, 3, H, W] each.
          lr: learning rate of this step.
          permutation: [N] the shuffle: place i of the shuffled batch holds image permutation[i].
            Symmetric: a pair, the second one for direction 2 (queries x_k, keys x_q).

        Returns:
          (loss, logits): a scalar and [N, 1 + K]; symmetric: the sum and [2, N, 1 + K].
        """
        self.encoder_q.train()
        self.encoder_k.train()  # the key encoder normalises by its own batch statistics
        self.follow()  # once, in the symmetric case too
        views = [(x_q, x_k), (x_k, x_q)] if self.symmetric else [(x_q, x_k)]
        permutations = permutation if self.symmetric else [permutation]
        keys = [self.encode_keys(x, p) for (_, x), p in zip(views, permutations, strict=True)]
        loss, logits = self.descend([x for x, _ in views], keys, lr)
        self.enqueue(torch.cat(keys))  # after the loss: not negatives of their own batch
        return loss, logits if self.symmetric else logits[0]

    def micro_batches(self, N):
        """Returns the rows of each micro-batch, in the order of the batch."""
        rows = torch.arange(N).reshape(self.replicas, self.accumulation, -1)
        return [rows[:, a].flatten() for a in range(self.accumulation)]

    @torch.no_grad()
    def follow(self):
        """θk ← m θk + (1 − m) θq, parameters only: batch-norm statistics and counters stay."""
        pairs = zip(self.encoder_k.parameters(), self.encoder_q.parameters(), strict=True)
        for theta_k, theta_q in pairs:
            theta_k.copy_(self.m * theta_k + (1 - self.m) * theta_q)

    @torch.no_grad()
    def encode_keys(self, x_k, permutation):
        """Encodes the shuffled images and returns the keys [N, C] in the order of x_k."""
        permutation = torch.as_tensor(permutation)
        keys = {}
        for rows in self.micro_batches(len(x_k)):
            images = permutation[rows].tolist()  # in the order they are encoded
            if sorted(images) != rows.tolist():
                raise ValueError("the shuffle leads out of a micro-batch")
            k = F.normalize(self.encoder_k(x_k[images]), dim=1)
            keys.update(zip(images, k, strict=True))
        return torch.stack([keys[i] for i in range(len(x_k))])

    def descend(self, queries, keys, lr):
        """One step of SGD on θq: v ← momentum · v + (g + wd · w); w ← w − lr · v.

        The gradient g is the mean over micro-batches, all of which see the same old queue.

        Args:
          queries, keys: of each direction, [N, 3, H, W] and [N, C].

        Returns:
          (loss, logits): a scalar and [directions, N, 1 + K].
        """
        for group in self.optimizer.param_groups:
            group["lr"] = lr
        self.optimizer.zero_grad(set_to_none=True)
        N, total = len(queries[0]), 0.0
        logits = self.queue.new_empty(len(queries), N, 1 + len(self.queue))
        for rows in self.micro_batches(N):
            loss = 0.0
            for d, (x, k) in enumerate(zip(queries, keys, strict=True)):
                q = F.normalize(self.encoder_q(x[rows]), dim=1)
                loss_d, logits_d = info_nce(q, k[rows], self.queue, self.T)
                logits[d, rows] = logits_d.detach()
                loss = loss + loss_d
            loss = loss / self.accumulation
            loss.backward()  # adds to the gradients
            total = total + loss.detach()
        self.optimizer.step()
        return total, logits

    @torch.no_grad()
    def enqueue(self, keys):
        """Writes the keys over the oldest rows; the pointer wraps modulo K."""
        K = len(self.queue)
        if len(keys) > K:
            raise ValueError(f"{len(keys)} keys a step do not fit a queue of {K}")
        rows = (self.queue_ptr + torch.arange(len(keys))) % K
        self.queue[rows] = keys
        self.queue_ptr = (self.queue_ptr + len(keys)) % K


def info_nce(q, k, queue, T):
    """Cross-entropy with label 0 of the logits [q·k⁺, q·queueᵀ] / T.

    Args:
      q, k: [N, C] unit rows; row i of k is the positive of row i of q.
      queue: [K, C] the negatives.

    Returns:
      (loss, logits): the mean over the batch and [N, 1 + K].
    """
    l_pos = (q * k).sum(1, keepdim=True)  # [N, 1]
    l_neg = q @ queue.T  # [N, K]
    logits = torch.cat([l_pos, l_neg], dim=1) / T
    labels = torch.zeros(len(q), dtype=torch.long)  # the positive stands first
    return F.cross_entropy(logits, labels), logits


def unit_rows(K, C, seed, dtype=None):
    """Returns a starting queue [K, C]: normal rows of unit length."""
    generator = torch.Generator().manual_seed(seed)
    return F.normalize(torch.randn(K, C, generator=generator, dtype=dtype), dim=1)
