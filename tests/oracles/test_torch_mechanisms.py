"""Sanity of the oracles: end-to-end, the memory bank and NPID."""

import copy
import math

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import torch.nn.functional as F  # noqa: E402

from tests.oracles.small import assert_same_state  # noqa: E402
from tests.oracles.small import images  # noqa: E402
from tests.oracles.small import tiny  # noqa: E402
from tests.oracles.torch_mechanisms import EndToEndOracle  # noqa: E402
from tests.oracles.torch_mechanisms import MemoryBankOracle  # noqa: E402
from tests.oracles.torch_mechanisms import NPIDOracle  # noqa: E402
from tests.oracles.torch_mechanisms import batch_nce  # noqa: E402
from tests.oracles.torch_mechanisms import estimate_z  # noqa: E402
from tests.oracles.torch_mechanisms import full_softmax  # noqa: E402
from tests.oracles.torch_mechanisms import nce  # noqa: E402
from tests.oracles.torch_mechanisms import proximal_term  # noqa: E402
from tests.oracles.torch_moco import unit_rows  # noqa: E402

DTYPES = pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
DOUBLE = torch.float64
LR, MOMENTUM, WD = 0.3, 0.9, 0.01


def tolerance(dtype):
    return {"rtol": 1e-4, "atol": 1e-5} if dtype == torch.float32 else {"rtol": 1e-9, "atol": 1e-11}


# Losses by hand: plain loops in NumPy, as the papers write them.


def softmax_loss(scores, label):
    """−log of the label's share of Σ exp(score)."""
    return -math.log(math.exp(scores[label]) / sum(math.exp(s) for s in scores))


def info_nce_by_hand(f, bank, rows, negatives, T):
    losses, logits = [], []
    for f_i, row in zip(f, rows, strict=True):
        logits.append([f_i @ bank[j] / T for j in [row, *negatives]])
        losses.append(softmax_loss(logits[-1], 0))
    return np.mean(losses), logits


def nce_by_hand(f, bank, rows, negatives, T, Z):
    """h = P / (P + m Pn), P = exp(v·f / T) / Z, Pn = 1 / N."""
    losses, logits = [], []
    for f_i, row, others in zip(f, rows, negatives, strict=True):
        m_pn = len(others) / len(bank)
        logits.append([f_i @ bank[j] / T for j in [row, *others]])
        P = [math.exp(score) / Z for score in logits[-1]]
        h = [p / (p + m_pn) for p in P]
        losses.append(-math.log(h[0]) - sum(math.log(1 - h_j) for h_j in h[1:]))
    return np.mean(losses), logits


def full_by_hand(f, bank, rows, T):
    logits = [[f_i @ v / T for v in bank] for f_i in f]
    losses = [softmax_loss(scores, row) for scores, row in zip(logits, rows, strict=True)]
    return np.mean(losses), logits


def bank_by_hand(bank, rows, f, bank_m):
    """Backwards through the batch, so that the first of two equal rows stays."""
    new = bank.copy()
    for f_i, row in reversed(list(zip(f, rows, strict=True))):
        v = bank_m * bank[row] + (1 - bank_m) * f_i
        new[row] = v / math.sqrt(sum(v * v))
    return new


def descend_by_hand(loss, parameters, velocity):
    for p, v, g in zip(parameters, velocity, torch.autograd.grad(loss, parameters), strict=True):
        v.mul_(MOMENTUM).add_(g + WD * p.data)
        p.data = p.data - LR * v


def slope(loss, p, index, eps=1e-6):
    """Central difference of loss() in one element of a parameter."""
    values = []
    for sign in (1, -1):
        with torch.no_grad():
            p[index] += sign * eps
            values.append(float(loss()))
            p[index] -= sign * eps
    return (values[0] - values[1]) / (2 * eps)


def assert_step_follows_slopes(encoder, before, loss):
    """After a first step p = p_0 − lr (∂loss/∂p + wd p_0), for two elements of every parameter."""
    pairs = zip(encoder.named_parameters(), before.parameters(), strict=True)
    for (name, p), p_0 in pairs:
        for index in {(0,) * p.ndim, tuple(size - 1 for size in p.shape)}:
            expected = p_0[index].item() - LR * (slope(loss, p_0, index) + WD * p_0[index].item())
            assert p[index].item() == pytest.approx(expected, rel=1e-6, abs=1e-6), name


# Closed forms.


@DTYPES
def test_batch_nce(dtype):
    q, k, T = unit_rows(3, 4, 0, dtype), unit_rows(3, 4, 1, dtype), 0.2
    loss, logits = batch_nce(q, k, T)
    expected = [[q_i @ k_j / T for k_j in k.numpy()] for q_i in q.numpy()]
    np.testing.assert_allclose(logits, expected, rtol=1e-5)
    assert float(loss) == pytest.approx(
        np.mean([softmax_loss(row, i) for i, row in enumerate(expected)]), rel=1e-5
    )
    axes = torch.eye(5, dtype=dtype)  # own key at angle 0, others at 90 degrees
    expected = math.log(1 + 4 * math.exp(-1 / T))
    assert batch_nce(axes, axes, T)[0].item() == pytest.approx(expected, rel=1e-4)
    assert loss.dtype == logits.dtype == dtype


def test_nce_of_a_posterior_of_one_half():
    """Where P is m Pn everywhere, data and noise look alike: 1 + m times log 2, for any n."""
    N, n, m, T = 50, 3, 7, 0.1
    f = unit_rows(n, 4, 0, DOUBLE)
    same = f[:, None].expand(n, m, 4)
    Z = math.exp(1 / T) / (m / N)  # all scores are 1 / T
    loss, logits = nce(f, f, same, Z, T, N)
    assert loss.item() == pytest.approx((1 + m) * math.log(2))
    torch.testing.assert_close(logits, torch.full((n, 1 + m), 1 / T, dtype=DOUBLE))
    assert estimate_z(f, same, T, N) == pytest.approx(N * math.exp(1 / T))


def test_nce_by_finite_differences():
    bank, T, Z = unit_rows(20, 4, 0, DOUBLE), 0.3, 60.0
    f = unit_rows(3, 4, 1, DOUBLE).requires_grad_()
    positive, negatives = bank[:3], bank[torch.arange(3, 18).reshape(3, 5)]
    assert torch.autograd.gradcheck(lambda f: nce(f, positive, negatives, Z, T, 20)[0], f)
    assert torch.autograd.gradcheck(lambda f: full_softmax(f, bank, torch.arange(3), T)[0], f)
    assert torch.autograd.gradcheck(lambda f: proximal_term(f, positive), f)


def test_many_negatives_make_nce_the_full_softmax():
    """With the true Z and m → ∞ uniform negatives the gradients agree: P, m Pn and Z fit together."""
    bank, T, N = unit_rows(6, 4, 0, DOUBLE), 0.5, 6
    f = unit_rows(1, 4, 1, DOUBLE).requires_grad_()
    rows = torch.tensor([2])
    Z = (f @ bank.T / T).exp().sum().item()
    expected = torch.autograd.grad(full_softmax(f, bank, rows, T)[0], f)[0]
    errors = []
    for times in (100, 10000):  # every row that often: m = 6 · times
        negatives = bank.repeat(times, 1)[None]
        gradient = torch.autograd.grad(nce(f, bank[rows], negatives, Z, T, N)[0], f)[0]
        errors.append((gradient - expected).abs().max().item())
    assert errors[1] < 1e-4
    assert errors[0] / errors[1] == pytest.approx(100, rel=0.05)  # of order 1 / m


def test_full_softmax_of_equal_rows_and_the_proximal_term():
    f, bank = unit_rows(4, 5, 0, DOUBLE), unit_rows(1, 5, 1, DOUBLE).expand(9, 5)
    loss, _ = full_softmax(f, bank, torch.tensor([0, 8, 3, 3]), 0.07)
    assert loss.item() == pytest.approx(math.log(9))
    f, old = torch.tensor([[1.0, 0], [0, 1]]), torch.tensor([[0, 1.0], [0, -1]])
    assert proximal_term(f, old).item() == (2 + 4) / 2


# Whole steps.


@DTYPES
def test_two_end_to_end_steps_by_hand(dtype):
    T, permutation = 0.2, [2, 0, 3, 1]
    start = tiny(dtype=dtype, bn_groups=2, mlp=True)
    oracle = EndToEndOracle(copy.deepcopy(start), T=T, momentum=MOMENTUM, weight_decay=WD)
    f_q, f_k = copy.deepcopy(start), copy.deepcopy(start)
    parameters = [*f_q.parameters(), *f_k.parameters()]
    velocity = [torch.zeros_like(p) for p in parameters]
    for step in range(2):
        x_q, x_k = images(4, 10 + step, dtype), images(4, 20 + step, dtype)
        shuffled = f_k(torch.stack([x_k[image] for image in permutation]))
        k = torch.stack([shuffled[permutation.index(image)] for image in range(4)])
        q, k = (y / y.square().sum(1, keepdim=True).sqrt() for y in (f_q(x_q), k))
        scores = (q[:, None] * k[None]).sum(2) / T
        expected = -torch.stack([torch.log_softmax(scores[i], 0)[i] for i in range(4)]).mean()
        descend_by_hand(expected, parameters, velocity)
        loss, logits = oracle.step(x_q, x_k, LR, permutation)
        torch.testing.assert_close(loss, expected.detach(), **tolerance(dtype))
        torch.testing.assert_close(logits, scores.detach(), **tolerance(dtype))
    assert loss.dtype == logits.dtype == dtype
    assert_same_state(oracle.encoder_q, f_q, **tolerance(dtype))
    assert_same_state(oracle.encoder_k, f_k, **tolerance(dtype))


def test_end_to_end_step_by_finite_differences():
    """Through both encoders, the shuffle and the groups' batch statistics."""
    start, T, permutation = tiny(bn_groups=2), 0.2, [2, 0, 3, 1]
    oracle = EndToEndOracle(copy.deepcopy(start), T=T, momentum=MOMENTUM, weight_decay=WD)
    x_q, x_k = images(4, 0), images(4, 1)
    oracle.step(x_q, x_k, LR, permutation)
    f_q, f_k = copy.deepcopy(start), copy.deepcopy(start)

    def loss():
        q, shuffled = f_q(x_q).numpy(), f_k(x_k[permutation]).numpy()
        losses = []
        for i, q_i in enumerate(q):
            scores = []
            for j in range(4):
                k_j = shuffled[permutation.index(j)]
                scores.append(q_i @ k_j / np.linalg.norm(q_i) / np.linalg.norm(k_j) / T)
            losses.append(softmax_loss(scores, i))
        return np.mean(losses)

    assert_step_follows_slopes(oracle.encoder_q, f_q, loss)
    assert_step_follows_slopes(oracle.encoder_k, f_k, loss)


def test_end_to_end_groups_are_replicas():
    """Two processes with plain batch norm and keys gathered with gradient: the same step.

    Each process has the mean loss of its own queries; the gather's backward pass sums what every
    process wants of a key; the parameters' gradients are then averaged.
    """
    T, permutation = 0.2, torch.tensor([4, 1, 5, 0, 2, 3])
    oracle = EndToEndOracle(tiny(bn_groups=2, running="first"), T=T)
    encoders_q = [tiny(bn_groups=None) for _ in range(2)]
    encoders_k = copy.deepcopy(encoders_q)
    x_q, x_k = images(6, 0), images(6, 1)
    own_keys = [
        F.normalize(f(x_k[share]), dim=1)
        for f, share in zip(encoders_k, permutation.chunk(2), strict=True)
    ]
    wanted, losses = torch.zeros(6, 6, dtype=DOUBLE), []
    for r, f in enumerate(encoders_q):
        gathered = torch.cat(own_keys).detach().requires_grad_()
        k = gathered[torch.argsort(permutation)]
        mine = torch.arange(3 * r, 3 * r + 3)
        loss = F.cross_entropy(F.normalize(f(x_q[mine]), dim=1) @ k.T / T, mine)
        loss.backward()
        wanted += gathered.grad
        losses.append(loss.detach())
    for keys, gradient in zip(own_keys, wanted.chunk(2), strict=True):
        keys.backward(gradient)
    for encoders in (encoders_q, encoders_k):
        for pair in zip(*(f.parameters() for f in encoders), strict=True):
            mean = (pair[0].grad + pair[1].grad) / 2
            pair[0].grad, pair[1].grad = mean, mean.clone()
        for f in encoders:
            torch.optim.SGD(f.parameters(), 0.1, 0.9, weight_decay=1e-4).step()
    loss, logits = oracle.step(x_q, x_k, 0.1, permutation)
    assert logits.shape == (6, 6)
    torch.testing.assert_close(loss, sum(losses) / 2)
    assert_same_state(oracle.encoder_q, encoders_q[0])  # running statistics too: replica 0's
    assert_same_state(oracle.encoder_k, encoders_k[0])


def test_symmetric_end_to_end_step():
    x_1, x_2, permutations = images(4, 0), images(4, 1), [[1, 3, 0, 2], [3, 2, 0, 1]]
    start = tiny(bn_groups=2)
    both, one, two = (
        EndToEndOracle(copy.deepcopy(start), T=0.2, symmetric=symmetric)
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


def test_encoders_start_equal_and_part():
    oracle = EndToEndOracle(tiny(bn_groups=2), T=0.2)
    assert_same_state(oracle.encoder_q, oracle.encoder_k)
    oracle.step(images(4, 0), images(4, 1), 0.1, [0, 2, 1, 3])
    for p_q, p_k in zip(oracle.encoder_q.parameters(), oracle.encoder_k.parameters(), strict=True):
        assert not torch.equal(p_q, p_k)
    with pytest.raises(ValueError, match="no permutation of 4 images"):
        oracle.step(images(4, 0), images(4, 1), 0.1, [0, 1, 1, 3])


# Mechanisms with a bank.

ROWS = [[5, 0, 2, 5], [7, 5, 1, 0]]  # row 5 twice in the first batch
SHARED, OWN = [3, 5, 5, 8, 1], [[1, 5, 3], [0, 2, 2], [8, 7, 6], [4, 4, 1]]  # own rows among them
BANK_CASES = pytest.mark.parametrize("case", ["memory_bank", "npid", "npid_momentum", "npid_full"])
T, LAMBDA = 0.2, {"npid": 30, "npid_momentum": 3, "npid_full": 2.5}  # 30 is the default


def bank_oracle(case, encoder, bank):
    """Returns (oracle, its negatives, its bank_m)."""
    options = {"T": T, "momentum": MOMENTUM, "weight_decay": WD}
    if case == "memory_bank":
        return MemoryBankOracle(encoder, bank, **options), SHARED, 0.5
    if case == "npid":
        return NPIDOracle(encoder, bank, **options), OWN, 0.0
    options["proximal"] = LAMBDA[case]
    if case == "npid_full":
        return NPIDOracle(encoder, bank, softmax="full", **options), None, 0.0
    return NPIDOracle(encoder, bank, bank_m=0.4, **options), OWN, 0.4


def bank_loss_by_hand(case, f, bank, rows, Z):
    if case == "memory_bank":
        return info_nce_by_hand(f, bank, rows, SHARED, T)
    if case == "npid_full":
        loss, logits = full_by_hand(f, bank, rows, T)
    else:
        loss, logits = nce_by_hand(f, bank, rows, OWN, T, Z)
    moved = [sum((f_i - bank[row]) ** 2) for f_i, row in zip(f, rows, strict=True)]
    return loss + LAMBDA[case] * np.mean(moved), logits


def z_by_hand(f, bank):
    scores = [f_i @ bank[j] / T for f_i, others in zip(f, OWN, strict=True) for j in others]
    return len(bank) * np.mean(np.exp(scores))


def unit(f):
    f = f.detach().double().numpy()
    return f / np.linalg.norm(f, axis=1, keepdims=True)


@DTYPES
@BANK_CASES
def test_two_bank_steps_by_hand(case, dtype):
    """Loss and logits against the old bank, then its update; Z from the first step serves both."""
    encoder = tiny(dtype=dtype, bn_groups=2)
    oracle, negatives, bank_m = bank_oracle(case, encoder, unit_rows(9, 6, 3, dtype))
    bank, Z = oracle.bank.double().numpy().copy(), None
    close = {"rtol": 1e-4, "atol": 1e-4} if dtype == torch.float32 else {"rtol": 1e-9}
    for step, rows in enumerate(ROWS):
        x = images(4, step, dtype)
        f = unit(copy.deepcopy(encoder).train()(x))
        Z = z_by_hand(f, bank) if Z is None else Z
        expected, expected_logits = bank_loss_by_hand(case, f, bank, rows, Z)
        bank = bank_by_hand(bank, rows, f, bank_m)
        loss, logits = oracle.step(x, rows, negatives, LR)
        np.testing.assert_allclose(loss, expected, **close)
        np.testing.assert_allclose(logits, expected_logits, **close)
        np.testing.assert_allclose(oracle.bank, bank, **close)
    assert loss.dtype == logits.dtype == oracle.bank.dtype == dtype
    if case in ("npid", "npid_momentum"):
        assert pytest.approx(Z, rel=1e-4) == oracle.Z


@BANK_CASES
def test_bank_step_by_finite_differences(case):
    """The gradient goes through f only: neither the bank nor Z has a share in it."""
    start, x, rows = tiny(bn_groups=2), images(4, 0), ROWS[0]
    oracle, negatives, _ = bank_oracle(case, copy.deepcopy(start), unit_rows(9, 6, 3, DOUBLE))
    bank = oracle.bank.numpy().copy()
    Z = z_by_hand(unit(copy.deepcopy(start)(x)), bank)
    oracle.step(x, rows, negatives, LR)
    assert_step_follows_slopes(
        oracle.encoder, start, lambda: bank_loss_by_hand(case, unit(start(x)), bank, rows, Z)[0]
    )


def test_second_bank_step_has_momentum():
    """v ← .9 v + (g + wd w): what a fresh optimizer lacks in the second step is lr · .9 · v."""
    bank = unit_rows(9, 6, 3, DOUBLE)
    oracle, _, _ = bank_oracle("memory_bank", tiny(), bank)
    start = [p.detach().clone() for p in oracle.encoder.parameters()]
    oracle.step(images(4, 0), ROWS[0], SHARED, LR)
    first = [p.detach().clone() for p in oracle.encoder.parameters()]
    fresh, _, _ = bank_oracle("memory_bank", copy.deepcopy(oracle.encoder), oracle.bank)
    for each in (oracle, fresh):
        each.step(images(4, 1), ROWS[1], SHARED, LR)
    pairs = zip(oracle.encoder.parameters(), fresh.encoder.parameters(), start, first, strict=True)
    for p, p_fresh, p_0, p_1 in pairs:
        torch.testing.assert_close(p, p_fresh + MOMENTUM * (p_1 - p_0))


def test_only_the_rows_of_the_batch_are_written_and_the_first_counts():
    bank = unit_rows(9, 6, 3, DOUBLE)
    oracle = MemoryBankOracle(tiny(), bank, T=T, bank_m=0.0)
    f = unit_rows(4, 6, 4, DOUBLE)
    oracle.update([5, 0, 2, 5], f)
    torch.testing.assert_close(oracle.bank[[5, 0, 2]], f[:3])
    untouched = [1, 3, 4, 6, 7, 8]
    assert torch.equal(oracle.bank[untouched], bank[untouched])


def test_npid_refuses_an_unknown_softmax():
    with pytest.raises(ValueError, match="got 'half'"):
        NPIDOracle(tiny(), unit_rows(9, 6, 3, DOUBLE), T=T, softmax="half")
