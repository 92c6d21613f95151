"""The state of a run by name: what checkpoints hold, and replicas agree on."""

import tensorflow as tf

STATISTICS = ("moving_mean", "moving_variance")  # of each replica its own


def state_of(model):
    """Returns name → variable of all that a `Trainer` with a built optimizer is made of.

    Of a `MoCo`, names are query_encoder/LAYER/WEIGHT, key_encoder/LAYER/WEIGHT, queue/keys,
    queue/pointer and optimizer/VARIABLE; a bank is bank/entries.
    """
    named = {}
    for part, variables in model.variable_groups().items():
        named |= named_variables(part, variables)
    for v in model.optimizer.variables:
        name = f"optimizer/{v.path.partition('/')[2]}"
        # Two encoders that are trained name their layers alike; the query encoder's come first.
        named[f"{name}_of_keys" if name in named else name] = v
    return named


def named_variables(part, variables):
    """Returns name → variable of what `Trainer.variable_groups` calls a part."""
    if not isinstance(variables, dict):
        variables = {v.path: v for v in variables}
    return {f"{part}/{name}": v for name, v in variables.items()}


def shared_state(model):
    """Returns the part of `state_of` that is equal on all replicas: all but BN's moving statistics, and
    a bank that is sharded."""
    return {
        name: v
        for name, v in state_of(model).items()
        if not name.endswith(STATISTICS) and not getattr(v, "sharded", False)
    }


def shapes(named):
    """Returns name → shape, a list, of variables or arrays."""
    return {name: list(value.shape) for name, value in named.items()}


def differences(found, expected):
    """Returns what two results of `shapes` differ in, a line for the user; "" where they agree."""
    odd = [
        f"{name} is {found.get(name, 'absent')} there, {expected.get(name, 'absent')} here"
        for name in sorted(found.keys() | expected.keys())
        if found.get(name) != expected.get(name)
    ]
    more = f" and {len(odd) - 3} more" if len(odd) > 3 else ""
    return "; ".join(odd[:3]) + more


def assign(named, values):
    """Assigns name → array to the variables of the same names, on all replicas of this process."""
    for name, variable in named.items():
        variable.assign(tf.cast(values[name], variable.dtype))
