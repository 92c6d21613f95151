"""From collections, lengths and variants to runs of mocotf.train: which there are, with which flags."""

import os
import re
from typing import NamedTuple

from mocotf.errors import UserError
from mocotf.settings import AUTO
from mocotf.training.flags_file import read_flags
from tools.ablations import running

WORD = re.compile(r"--(\w+)(?:=(.*))?")
VARIANT = re.compile(r"([\w.-]+):(.*)", re.DOTALL)
NEITHER = {"data_dir"}  # the pictures may have moved


class Run(NamedTuple):
    """One run of mocotf.train; `flags` is name → text of what it is given."""

    name: str
    title: str
    seed: int
    flags: dict


class Trial(NamedTuple):
    """A row of the tables: runs that differ in their seeds only.

    Attributes:
        collection: its name.
        minutes: of --minutes, a text; None: not given.
        variant: name of one of --variant; "" where there is none.
        runs: its `Run`s.
    """

    collection: str
    minutes: str | None
    variant: str
    runs: tuple


def variants_of(texts):
    """Returns name → its flags as words, of texts "NAME: FLAGS"; {"": []} of none.

    Raises:
        UserError: one is no such text, or a name comes twice.
    """
    found = {}
    for text in texts:
        match = VARIANT.fullmatch(text)
        if not match or match[1] in found:
            raise UserError(
                f"--variant={text}: expected a name of its own and flags, such as 'slow: --lr=0.03'"
            )
        found[match[1]] = match[2].split()
    return found or {"": []}


def flags_of(words):
    """Returns name → text of flags as they are typed.

    Raises:
        UserError: a word is no flag, or one that every run has of its own.
    """
    found = {}
    for word in words:
        match = WORD.fullmatch(word)
        if not match:
            raise UserError(f"{word}: expected --NAME=VALUE, a flag of mocotf.train, after --")
        if match[1] in ("dataset", "data_dir", "model_dir", "seed"):
            raise UserError(f"{word}: every run has its own; drop it")
        found[match[1]] = "true" if match[2] is None else match[2]
    return found


def lengths_of(collections, minutes):
    """Returns name → texts for --minutes, of collections as NAME or NAME:MINUTES; those that name none
    have `minutes`, or [None], where it is not to be given."""
    found = {}
    for text in collections:
        name, _, own = text.partition(":")
        found.setdefault(name, []).extend([own] if own else minutes or [None])
    return found


def expand(folders, lengths, variants, seeds, words):
    """Returns the `Trial`s.

    Args:
        folders: name → folder of the collections.
        lengths: of `lengths_of`.
        variants: of `variants_of`.
        seeds: of each trial.
        words: flags of all runs, as typed; those of a variant count more.
    """
    trials = []
    for collection, folder in folders.items():
        for length in lengths[collection]:
            for variant, own in variants.items():
                options = {"recipe": AUTO} | flags_of(words) | flags_of(own)
                options |= {"minutes": length} if length else {}
                options |= {"dataset": "folder", "data_dir": os.path.abspath(folder)}
                what = [collection, *([f"{length}min"] if length else []), *filter(None, [variant])]
                runs = tuple(
                    Run(
                        f"{'_'.join(what)}_seed={seed}",
                        ", ".join(what),
                        seed,
                        options | {"seed": str(seed)},
                    )
                    for seed in seeds
                )
                trials.append(Trial(collection, length, variant, runs))
    return trials


def check_same(runs, out):
    """Checks the runs that have begun against their flags.

    Raises:
        UserError: one was begun with others.
    """
    for run in runs:
        path = running.flags_of(run, out)
        if not os.path.exists(path):
            continue
        known = read_flags(path)
        names = sorted((known.keys() | run.flags.keys()) - NEITHER)
        changes = [
            f"--{name}={known.get(name, '(unset)')} there, {run.flags.get(name, '(unset)')} here"
            for name in names
            if known.get(name) != run.flags.get(name)
        ]
        if changes:
            raise UserError(
                f"--out={out}: {run.name} was begun with other flags ({', '.join(changes)}); give it "
                "the same, or name another folder"
            )
