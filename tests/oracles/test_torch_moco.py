"""Sanity of the oracle: MoCo's step."""

import copy

import pytest
import torch
import torch.nn.functional as F

from tests.oracles.small import assert_same_state
from tests.oracles.small import images
from tests.oracles.small import tiny
from tests.oracles.torch_moco import MoCoOracle
from tests.oracles.torch_moco import info_nce
from tests.oracles.torch_moco import unit_rows


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_two_steps_by_hand(dtype):
    """EMA, then keys, queries, the loss against the old queue, coupled SGD, then enqueue."""
    m, T, lr, wd, K = 0.9, 0.2, 0.5, 0.01, 7
    start = tiny(dtype=dtype, bn_groups=2, mlp=True)
    oracle = MoCoOracle(copy.deepcopy(start), unit_rows(K, 6, 3, dtype), m=m, T=T, weight_decay=wd)
    f_q, f_k = copy.deepcopy(start), copy.deepcopy(start)
    queue, velocity = unit_rows(K, 6, 3, dtype), [0.0] * len(list(f_q.parameters()))
    for step in range(2):
        x_q, x_k = images(4, 10 + step, dtype), images(4, 20 + step, dtype)
        permutation = [2, 0, 3, 1]
        for p_k, p_q in zip(f_k.parameters(), f_q.parameters(), strict=True):
            p_k.data = m * p_k.data + (1 - m) * p_q.data
        shuffled = F.normalize(f_k(x_k[permutation]).detach(), dim=1)
        k = torch.stack([shuffled[permutation.index(image)] for image in range(4)])
        q = F.normalize(f_q(x_q), dim=1)
        expected_logits = torch.cat([(q * k).sum(1, keepdim=True), q @ queue.T], 1) / T
        expected = -torch.log_softmax(expected_logits, 1)[:, 0].mean()
        gradients = torch.autograd.grad(expected, list(f_q.parameters()))
        for i, (p, g) in enumerate(zip(f_q.parameters(), gradients, strict=True)):
            velocity[i] = 0.9 * velocity[i] + g + wd * p.data
            p.data = p.data - lr * velocity[i]
        for i in range(4):
            queue[(4 * step + i) % K] = k[i]

        loss, logits = oracle.step(x_q, x_k, lr, permutation)
        tolerance = {"rtol": 1e-4, "atol": 1e-5} if dtype == torch.float32 else {}
        torch.testing.assert_close(loss, expected.detach(), **tolerance)
        torch.testing.assert_close(logits, expected_logits.detach(), **tolerance)
        torch.testing.assert_close(oracle.queue, queue, **tolerance)
    assert loss.dtype == logits.dtype == oracle.queue.dtype == dtype
    assert oracle.queue_ptr == 8 % K == 1
    assert_same_state(oracle.encoder_q, f_q, **tolerance)
    assert_same_state(oracle.encoder_k, f_k, **tolerance)


def test_symmetric_step():
    x_1, x_2, queue = images(4, 0), images(4, 1), unit_rows(10, 6, 0, torch.float64)
    permutations = torch.tensor([[1, 3, 0, 2], [3, 2, 0, 1]])
    both, one, two = (
        MoCoOracle(tiny(bn_groups=2), queue, m=0.5, symmetric=symmetric)
        for symmetric in (True, False, False)
    )
    theta = [p.detach().clone() for p in both.encoder_q.parameters()]
    loss, logits = both.step(x_1, x_2, 0.1, permutations)
    loss_1, logits_1 = one.step(x_1, x_2, 0.1, permutations[0])
    loss_2, logits_2 = two.step(x_2, x_1, 0.1, permutations[1])
    torch.testing.assert_close(loss, loss_1 + loss_2)
    torch.testing.assert_close(logits, torch.stack([logits_1, logits_2]))
    torch.testing.assert_close(both.queue[:4], one.queue[:4])  # keys of x_2
    torch.testing.assert_close(both.queue[4:8], two.queue[:4])  # keys of x_1
    assert both.queue_ptr == 8 and torch.equal(both.queue[8:], queue[8:])
    triples = zip(*(o.encoder_q.parameters() for o in (both, one, two)), theta, strict=True)
    for p, p_1, p_2, p_0 in triples:  # first step: p = p_0 − lr (g_1 + g_2 + wd p_0)
        torch.testing.assert_close(p, p_1 + p_2 - p_0 + 0.1 * 1e-4 * p_0)


def test_micro_batches_are_groups_with_moving_statistics_of_their_own():
    """Halves of a batch, one after another, give what two groups of its batch norm give."""
    queue, permutation = unit_rows(8, 6, 0, torch.float64), [1, 2, 0, 5, 3, 4]
    groups = MoCoOracle(tiny(bn_groups=2), queue)
    parts = MoCoOracle(tiny(bn_groups=1), queue, accumulation=2)
    x_q, x_k = images(6, 0), images(6, 1)
    first = copy.deepcopy(parts.encoder_q)
    found, expected = (o.step(x_q, x_k, 0.1, permutation) for o in (parts, groups))
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(parts.queue, groups.queue)
    for half in x_q.chunk(2):
        first(half)
    theta = list(parts.encoder_q.parameters())
    torch.testing.assert_close(theta, list(groups.encoder_q.parameters()))
    torch.testing.assert_close([*parts.encoder_q.buffers()], [*first.buffers()])
    with pytest.raises(ValueError, match="out of a micro-batch"):
        parts.step(x_q, x_k, 0.1, [3, 1, 2, 0, 4, 5])


def test_micro_batches_are_parts_of_every_replica():
    oracle = MoCoOracle(tiny(), unit_rows(8, 6, 0), accumulation=2, replicas=2)
    assert [rows.tolist() for rows in oracle.micro_batches(8)] == [[0, 1, 4, 5], [2, 3, 6, 7]]


def test_a_queue_refuses_too_many_keys():
    oracle = MoCoOracle(tiny(), torch.zeros(5, 6))
    with pytest.raises(ValueError, match="6 keys a step do not fit a queue of 5"):
        oracle.enqueue(torch.zeros(6, 6))


def test_groups_are_replicas():
    """Two processes with plain batch norm, averaged gradients and gathered keys: the same step."""
    oracle = MoCoOracle(tiny(bn_groups=2, running="first"), unit_rows(8, 6, 0, torch.float64))
    replicas = [tiny(bn_groups=None) for _ in range(2)]
    keys_by = [copy.deepcopy(replica) for replica in replicas]
    queue = oracle.queue.clone()
    x_q, x_k, permutation = images(6, 0), images(6, 1), torch.tensor([4, 1, 5, 0, 2, 3])
    shares = permutation.chunk(2)
    gathered = [f(x_k[share]).detach() for f, share in zip(keys_by, shares, strict=True)]
    k = F.normalize(torch.cat(gathered), dim=1)[torch.argsort(permutation)]
    losses = []
    for r, replica in enumerate(replicas):
        mine = slice(3 * r, 3 * r + 3)
        loss, _ = info_nce(F.normalize(replica(x_q[mine]), dim=1), k[mine], queue, 0.07)
        loss.backward()
        losses.append(loss.detach())
    for pair in zip(*(replica.parameters() for replica in replicas), strict=True):
        mean = (pair[0].grad + pair[1].grad) / 2
        pair[0].grad, pair[1].grad = mean, mean.clone()
    for replica in replicas:
        torch.optim.SGD(replica.parameters(), 0.1, 0.9, weight_decay=1e-4).step()
    loss, _ = oracle.step(x_q, x_k, 0.1, permutation)
    torch.testing.assert_close(loss, sum(losses) / 2)
    torch.testing.assert_close(oracle.queue[:6], k)
    assert_same_state(oracle.encoder_q, replicas[0])  # running statistics too: replica 0's
    assert_same_state(oracle.encoder_k, keys_by[0])
