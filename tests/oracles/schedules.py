"""Oracle: the published learning-rate formulas in plain Python; epochs and steps count from 0."""

import math


def step_per_epoch(epoch, lr, milestones=(120, 160), factor=0.1):
    """MoCo v1: lr × .1 from each milestone epoch on."""
    for milestone in milestones:
        if epoch >= milestone:
            lr *= factor
    return lr


def cosine_per_epoch(epoch, lr, epochs):
    """MoCo v2: lr · ½ (1 + cos(π epoch / epochs)), with the whole number of the epoch."""
    return lr * 0.5 * (1.0 + math.cos(math.pi * math.floor(epoch) / epochs))


def cosine_per_step(step, lr, total_steps):
    """The same cosine, changed every step: lr · ½ (1 + cos(π step / total_steps))."""
    return lr * 0.5 * (1.0 + math.cos(math.pi * step / total_steps))


def exponential(step, lr, every=62_500, factor=0.9):
    """MoCo v1 on IG-1B: lr × .9 every 62,500 steps, a staircase."""
    return lr * factor ** (step // every)


def linear_warmup(step, lr, warmup_steps):
    """lr · (step + 1) / warmup_steps in the first warmup_steps steps, then lr.

    `lr` is what the schedule says at this step; it counts its own steps through the warm-up.
    """
    return lr * min(1.0, (step + 1) / warmup_steps) if warmup_steps else lr
