"""Sanity of the oracles: end-to-end, the memory bank and NPID."""

import copy
import math

import pytest
import torch

from tests.oracles import torch_mechanisms as oracles
from tests.oracles.small import assert_same_state
from tests.oracles.small import images
from tests.oracles.small import tiny
from tests.oracles.torch_moco import unit_rows

DTYPES = pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
DOUBLE = torch.float64
T, LR, MOMENTUM, WD = 0.2, 0.3, 0.9, 0.01
SGD = {"momentum": MOMENTUM, "weight_decay": WD}


def tolerance(dtype):
    return {"rtol": 1e-4, "atol": 1e-5} if dtype == torch.float32 else {"rtol": 1e-9, "atol": 1e-11}


# By hand: plain loops, as the papers write them.


def unit(y):
    return y / y.square().sum(1, keepdim=True).sqrt()


def softmax_loss(scores, label):
    """−log of the label's share of Σ exp(score)."""
    return -(scores[label].exp() / scores.exp().sum()).log()


def mean(losses):
    return sum(losses) / len(losses)


class DescentByHand:
    """Steps parameters by v ← momentum · v + (g + wd · w); w ← w − lr · v."""

    def __init__(self, *encoders):
        self.parameters = [p for encoder in encoders for p in encoder.parameters()]
        self.velocity = [torch.zeros_like(p) for p in self.parameters]

    def step(self, loss):
        gradients = torch.autograd.grad(loss, self.parameters)
        for p, v, g in zip(self.parameters, self.velocity, gradients, strict=True):
            v.mul_(MOMENTUM).add_(g + WD * p.data)
            p.data = p.data - LR * v


def test_nce_of_a_posterior_of_one_half():
    """Where P is m Pn everywhere, data and noise look alike: 1 + m times log 2, for any n."""
    N, n, m, T = 50, 3, 7, 0.1
    f = unit_rows(n, 4, 0, DOUBLE)
    same = f[:, None].expand(n, m, 4)
    Z = math.exp(1 / T) / (m / N)  # all scores are 1 / T
    loss, logits = oracles.nce(f, f, same, Z, T, N)
    assert loss.item() == pytest.approx((1 + m) * math.log(2))
    torch.testing.assert_close(logits, torch.full((n, 1 + m), 1 / T, dtype=DOUBLE))
    assert oracles.estimate_z(f, same, T, N) == pytest.approx(N * math.exp(1 / T))


# Whole steps.


@DTYPES
def test_two_end_to_end_steps_by_hand(dtype):
    """Through both encoders, the shuffle and the groups' batch statistics."""
    permutation = [2, 0, 3, 1]
    f_q = tiny(dtype=dtype, bn_groups=2, mlp=True)
    f_k = copy.deepcopy(f_q)
    oracle = oracles.EndToEndOracle(copy.deepcopy(f_q), T=T, **SGD)
    descent = DescentByHand(f_q, f_k)
    for step in range(2):
        x_q, x_k = images(4, 10 + step, dtype), images(4, 20 + step, dtype)
        shuffled = f_k(torch.stack([x_k[image] for image in permutation]))
        k = torch.stack([shuffled[permutation.index(image)] for image in range(4)])
        scores = (unit(f_q(x_q))[:, None] * unit(k)[None]).sum(2) / T
        expected = mean([softmax_loss(row, i) for i, row in enumerate(scores)])
        descent.step(expected)
        loss, logits = oracle.step(x_q, x_k, LR, permutation)
        torch.testing.assert_close(loss, expected.detach(), **tolerance(dtype))
        torch.testing.assert_close(logits, scores.detach(), **tolerance(dtype))
    assert loss.dtype == logits.dtype == dtype
    assert_same_state(oracle.encoder_q, f_q, **tolerance(dtype))
    assert_same_state(oracle.encoder_k, f_k, **tolerance(dtype))


def test_symmetric_end_to_end_step():
    x_1, x_2, permutations = images(4, 0), images(4, 1), [[1, 3, 0, 2], [3, 2, 0, 1]]
    start = tiny(bn_groups=2)
    both, one, two = (
        oracles.EndToEndOracle(copy.deepcopy(start), T=T, symmetric=symmetric)
        for symmetric in (True, False, False)
    )
    loss, logits = both.step(x_1, x_2, 0.1, permutations)
    loss_1, logits_1 = one.step(x_1, x_2, 0.1, permutations[0])
    loss_2, logits_2 = two.step(x_2, x_1, 0.1, permutations[1])
    torch.testing.assert_close(loss, loss_1 + loss_2)
    torch.testing.assert_close(logits, torch.stack([logits_1, logits_2]))
    for name in ("encoder_q", "encoder_k"):
        encoders = [getattr(oracle, name) for oracle in (both, one, two)]
        for p, p_1, p_2, p_0 in zip(*(f.parameters() for f in [*encoders, start]), strict=True):
            torch.testing.assert_close(p, p_1 + p_2 - p_0 + 0.1 * 1e-4 * p_0)  # wd once, not twice


ROWS = [[5, 0, 2, 5], [7, 5, 1, 0]]  # row 5 twice in the first batch
SHARED, OWN = [3, 5, 5, 8, 1], [[1, 5, 3], [0, 2, 2], [8, 7, 6], [4, 4, 1]]  # own rows among them
CASES = {  # name: (oracle, its options, negatives, momentum of the bank, λ); 30 is the default
    "memory_bank": (oracles.MemoryBankOracle, {}, SHARED, 0.5, 0),
    "npid": (oracles.NPIDOracle, {}, OWN, 0.0, 30),
    "npid_momentum": (oracles.NPIDOracle, {"proximal": 3, "bank_m": 0.4}, OWN, 0.4, 3),
    "npid_full": (oracles.NPIDOracle, {"proximal": 2.5, "softmax": "full"}, None, 0.0, 2.5),
}


def loss_by_hand(case, f, bank, rows, Z, proximal):
    losses, logits = [], []
    for f_i, row, own in zip(f, rows, OWN, strict=True):
        compared = {"memory_bank": [row, *SHARED], "npid_full": range(len(bank))}.get(case, [row, *own])
        scores = torch.stack([f_i @ bank[j] / T for j in compared])
        if case in ("memory_bank", "npid_full"):
            loss = softmax_loss(scores, row if case == "npid_full" else 0)
        else:  # h = P / (P + m Pn), P = exp(v·f / T) / Z, Pn = 1 / N
            P = scores.exp() / Z
            h = P / (P + len(own) / len(bank))
            loss = -h[0].log() - (1 - h[1:]).log().sum()
        losses.append(loss + proximal * sum((f_i - bank[row]) ** 2))
        logits.append(scores)
    return mean(losses), torch.stack(logits)


def z_by_hand(f, bank):
    scores = [f_i @ bank[j] / T for f_i, own in zip(f, OWN, strict=True) for j in own]
    return len(bank) * mean([math.exp(score) for score in scores])


def bank_by_hand(bank, rows, f, bank_m):
    """Backwards through the batch, so that the first of two equal rows stays."""
    new = bank.clone()
    for f_i, row in reversed(list(zip(f, rows, strict=True))):
        v = bank_m * bank[row] + (1 - bank_m) * f_i
        new[row] = v / math.sqrt(sum(v * v))
    return new


@DTYPES
@pytest.mark.parametrize("case", CASES)
def test_two_bank_steps_by_hand(case, dtype):
    """Loss and logits against the old bank, then its update; Z from the first step serves both, and
    the gradient goes through f only."""
    make, options, negatives, bank_m, proximal = CASES[case]
    start, bank, Z = tiny(dtype=dtype, bn_groups=2), unit_rows(9, 6, 3, dtype), None
    oracle = make(copy.deepcopy(start), bank, T=T, **SGD, **options)
    encoder, bank, close = start.double(), bank.double(), tolerance(dtype) | {"check_dtype": False}
    descent = DescentByHand(encoder)
    for step, rows in enumerate(ROWS):
        x = images(4, step, dtype)
        f = unit(encoder(x.double()))
        Z = z_by_hand(f.detach(), bank) if Z is None else Z
        expected, expected_logits = loss_by_hand(case, f, bank, rows, Z, proximal)
        bank = bank_by_hand(bank, rows, f.detach(), bank_m)
        descent.step(expected)
        loss, logits = oracle.step(x, rows, negatives, LR)
        torch.testing.assert_close(loss, expected.detach(), **close)
        torch.testing.assert_close(logits, expected_logits.detach(), **close)
        torch.testing.assert_close(oracle.bank, bank, **close)
    assert loss.dtype == logits.dtype == oracle.bank.dtype == dtype
    assert_same_state(oracle.encoder, encoder, **close)
    if case in ("npid", "npid_momentum"):
        assert pytest.approx(Z, rel=1e-4) == oracle.Z


def test_what_cannot_be_is_refused():
    with pytest.raises(ValueError, match="no permutation of 4 images"):
        oracles.EndToEndOracle(tiny(), T=T).step(images(4, 0), images(4, 1), LR, [0, 1, 1, 3])
    with pytest.raises(ValueError, match="got 'half'"):
        oracles.NPIDOracle(tiny(), unit_rows(9, 6, 3, DOUBLE), T=T, softmax="half")
