"""The map of a run's features: pictures on a plane, to be looked around in."""

import hashlib
import io
import logging
import math

import numpy as np
from PIL import Image

from mocotf.errors import UserError
from mocotf.evaluation.projector import sprites
from mocotf.reporting.elements import data
from mocotf.reporting.elements import element
from mocotf.reporting.elements import picture
from mocotf.reporting.pictures import project

CLASSES = "Coloured by class. Those with a ring are of another class by the vote of their neighbours."
NEAR = 8
FEWEST = 4  # images of a map
TILE = 64  # pixels of a picture; a multiple of WebP's blocks of 16, so that none bleeds into another
HOW = {"tsne": "t-SNE: neighbours stay together", "pca": "PCA: the plane of the largest spread"}
KEYS = (
    "Click a picture for its eight neighbours. Wheel, pinch or + and − zoom, dragging or the arrow "
    "keys pan, 0 shows all; n and p go through the pictures, Escape forgets what is chosen. Lasso, or "
    "Shift and drag, chooses pictures and lists their files."
)
log = logging.getLogger(__name__)


def map_figure(source, look, projection):
    """Returns the figure of the map of a `Look`, or why there is none."""
    if len(look.labels) < FEWEST:
        return f"A map wants {FEWEST} images or more; here: {len(look.labels)}."
    name = source.class_name if look.labelled else lambda label: ""
    classes = sorted({*look.labels.tolist(), *look.given.tolist()})
    try:
        layouts = project(look.features, projection)
    except UserError as error:
        log.warning("no map: %s", error)
        return f"None: {error}."
    names, colours = [name(label) for label in classes], _colours(len(classes))
    sheet = _sheet(look.album.queries[0])
    identity = f"sheet-{hashlib.sha256(sheet).hexdigest()[:16]}"
    content = {
        "steps": look.steps,
        "places": [np.round(layout, 4).tolist() for layout in layouts],
        "near": [nearest(features) for features in look.features],
        "labels": [classes.index(label) for label in look.labels.tolist()],
        "given": [classes.index(label) for label in look.given.tolist()],
        "names": names,
        "colours": colours,
        "files": look.names,
        "sheet": identity,
        "columns": math.ceil(math.sqrt(len(look.labels))),
        "tile": TILE,
    }
    caption = f"{HOW[projection]} · {_count(look)} · step {look.steps[-1]:,}"
    classes_told = element("p", CLASSES, class_="soft") if look.labelled else None
    return element(
        "figure",
        picture(sheet, "", "webp", id=identity, class_="sheet", hidden="hidden"),
        classes_told,
        element("div", *_explorer(look, names, colours), data(content), class_="map"),
        element("figcaption", element("small", caption)),
    )


def once(figures):
    """Leaves of each sheet of pictures that several maps share the first only; the figures stay."""
    seen = set()
    for figure in figures:
        sheet = None if isinstance(figure, str) else figure.find("img")
        if sheet is not None and sheet.get("id") in seen:
            figure.remove(sheet)
        elif sheet is not None:
            seen.add(sheet.get("id"))


def nearest(features, most=NEAR, block=1000):
    """Returns the places of those nearest to each of features `[n, C]` of unit length, but itself: a
    list each, the nearest first."""
    found = []
    for start in range(0, len(features), block):
        similarity = features[start : start + block] @ features.T
        rows = np.arange(len(similarity))
        similarity[rows, start + rows] = -np.inf
        best = np.argpartition(-similarity, range(min(most, len(features) - 1)), axis=1)
        found += best[:, : min(most, len(features) - 1)].tolist()
    return found


def _count(look):
    if not look.labelled:
        return f"{len(look.labels):,} images, without labels"
    right = 100 * np.mean(look.given == look.labels)
    compared = f"{look.compared:,} of {look.of:,}" if look.compared < look.of else f"{look.of:,}"
    return f"{len(look.labels):,} images, {right:.1f} % right by kNN with {compared} training images"


def _explorer(look, names, colours):
    """Yields what of a map is there before its script: the stage, its tools, and the panel."""
    yield element("noscript", element("p", "The map needs JavaScript."))
    label = f"map of {len(look.labels):,} images; {KEYS}"
    canvas = element("canvas", role="img", aria_label=label, tabindex="0")
    panel = element(
        "div",
        element("p", KEYS, class_="how soft"),
        element("div", class_="picked", hidden="hidden", aria_live="polite"),
        element("div", class_="near", hidden="hidden"),
        element("div", *_chosen(), class_="chosen", hidden="hidden"),
        _classes(names, colours) if look.labelled else None,
        class_="panel",
    )
    stage = element("div", canvas, element("div", class_="hint", hidden="hidden"), class_="stage")
    yield element(
        "div", element("div", *_tools(look.steps), class_="tools"), stage, panel, class_="explorer"
    )


def _tools(steps):
    for name, text, title in (
        ("in", "+", "Zoom in"),
        ("out", "−", "Zoom out"),
        ("all", "All", "Show all"),
    ):
        yield _button(name, text, aria_label=title)
    yield _button("lassos", "Lasso", aria_pressed="false")
    yield _button("seen", "List what is seen")
    if len(steps) < 2:
        yield element("span", f"step {steps[0]:,}; the run has kept no other checkpoint", class_="soft")
        return
    last = len(steps) - 1
    slider = element("input", type="range", class_="steps", min="0", max=last, value=last, step="1")
    yield element("label", "step", slider, element("output", f"{steps[-1]:,}"))


def _chosen():
    yield element("h4", "")
    yield element(
        "textarea", readonly="readonly", aria_label="files of the chosen pictures", wrap="off"
    )
    yield _button("save", "Save as files.txt")


def _classes(names, colours):
    boxes = (
        element(
            "label",
            element("input", type="checkbox", value=i, checked="checked"),
            element("i", style=f"background:{colour}"),
            name,
        )
        for i, (name, colour) in enumerate(zip(names, colours, strict=True))
    )
    every = _button("every", "all"), " ", _button("none", "none")
    return element(
        "fieldset", element("legend", "Classes ", *every), *boxes, class_="classes", tabindex="0"
    )


def _button(name, text, **attributes):
    return element("button", text, type="button", class_=name, **attributes)


def _sheet(pictures):
    """Returns the WebP of pictures uint8 `[n, s, s, 3]`, each brought to `TILE`, row by row."""
    tiles = [
        np.asarray(Image.fromarray(one).resize((TILE, TILE), Image.Resampling.LANCZOS))
        for one in pictures
    ]
    encoded = io.BytesIO()
    Image.fromarray(sprites(np.stack(tiles))).save(encoded, "WEBP", quality=70, method=2)
    return encoded.getvalue()


def _colours(count):
    """Returns `count` colours: hues around the circle, alternately darker; grey alone."""
    if count == 1:
        return ["#7b8796"]
    return [
        f"hsl({360 * i / count:.0f},{62 + 12 * (i % 2)}%,{54 - 12 * (i % 2)}%)" for i in range(count)
    ]
