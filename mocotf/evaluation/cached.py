"""A linear classifier of features that are kept: solved for, not trained."""

import numpy as np

from mocotf import extras
from mocotf import terminal
from mocotf.data.pretraining import centre_views
from mocotf.evaluation.features import extract
from mocotf.evaluation.monitor import encoder_function
from mocotf.evaluation.scores import Scores
from mocotf.evaluation.softmax import SoftmaxRegression

HELD_OUT = 10  # one image of so many chooses between strengths


def solve(task, strengths):
    """Encodes every image once, and solves for the classifier; returns the results.

    Args:
        task: a `Task`.
        strengths: weight decays, of which the one that is best on held-out training images is taken.
    """
    extras.require("scipy.optimize", "--cache_features")  # before all is encoded
    encode = encoder_function(task.encoder(), "pooled")
    labelled = task.labelled
    pictures = labelled.size + labelled.source.evaluation_sizes[1]
    with task.bad_images.explained(), terminal.phase("encoding pictures", pictures):
        views = centre_views(labelled.source, labelled.examples(), task.run.view, task.bad_images)
        features, labels = extract(encode, views)
        queries, answers = extract(encode, task.query_views)
    l2 = strengths[0]
    with terminal.phase("solving for the classifier"):
        if len(strengths) > 1:
            l2 = choose(features, labels, labelled.classes, strengths)
        solved = SoftmaxRegression(features, labels, labelled.classes, l2)
    scores = Scores.of(solved.scores(queries), answers)
    task.announce("linear_cached", scores, f"{task.run.path}/linear_cached.csv")
    return {
        "linear_cached_top1": scores.top1,
        "linear_cached_top5": scores.top5,
        "images": len(labels),
        "l2": l2,
        "converged": solved.converged,
    }


def choose(features, labels, classes, strengths):
    """Returns the strength that is best on held-out training images."""
    asked = np.arange(len(labels)) % HELD_OUT == 0

    def top1(l2):
        solved = SoftmaxRegression(features[~asked], labels[~asked], classes, l2)
        return Scores.of(solved.scores(features[asked]), labels[asked]).top1

    found = {l2: top1(l2) for l2 in strengths}
    print("held-out top-1: " + ", ".join(f"l2 {l2:g} {value:.2f}" for l2, value in found.items()))
    return max(found, key=found.get)
