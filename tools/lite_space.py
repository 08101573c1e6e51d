"""Builds the lite space from a classifier, a detector and a sentence encoder: image and text side as ONNX graphs.

A vector has five parts, and an inner product adds up the parts' scores:

=============  ====  ================================  ============================================
part           dim   of a picture                      of a text
=============  ====  ================================  ============================================
classified     429   the classifier's view             the classifier made for the phrase
detected        80   each label's evidence             which labels the phrase means
contrast         1   how little nouns say of it        as much as the classified part counts
picture's rest   1   what is missing to length 1       0
text's rest      1   0                                 what is missing to length 1
=============  ====  ================================  ============================================

So one number, ``MATCH_FLOOR``, means a match for every picture and text: the scales below bring what the classifier and
what the detector say to it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from onnx import ModelProto, TensorProto, helper
from tools.lite_detector import LABELS, detector_evidence
from tools.lite_graphs import Array, Graph, classifier_vectors, sentence_vectors, text_inputs
from tools.lite_sources import Weights

from footage.indexer.embed.lite import MATCH_FLOOR

DIM = 512
CLASSIFIED = DIM - LABELS - 3
CLASSIFIER_SCALE = 0.8
"""Of the picture: a short side of 320 suits the detector, 256 the classifier."""
CLASSIFIER_SHARPNESS, DETECTOR_SHARPNESS = 0.3, 3.0
CLASSIFIER_LENGTH = 0.6
"""Of a picture's classified part."""
DETECTED_LENGTH = 0.35
"""Of what one label that is surely there adds to a picture."""
MIN_EVIDENCE, MAX_EVIDENCE = -3.5, 0.5
"""A label's evidence below the first counts as 0, above the second as certain."""
SECOND_OPINION_WEIGHT, SECOND_OPINION_FLOOR = 8.0, -0.05
"""Weight with which the classifier's score of a detector's label, above this floor, adds to the label's evidence."""
NEAREST_NOUNS = 10
"""Number of an image's nearest nouns whose mean score a phrase must exceed (as in ``query.scoring.noun_bank``)."""
MATCH_MARGIN = 0.01
"""Margin by which a phrase must exceed that mean for a match."""
CONTRAST = 0.7
"""Of a text: length of the contrast part to that of the classified part."""
TEMPERATURE, NAME_TEMPERATURE = 0.1, 0.05
"""Of the softmax that turns a phrase's likeness to labels into weights: the classifier's labels, the detector's."""
CLASSIFIER_LEAD, CLASSIFIER_LEAD_WIDTH = 0.1, 0.05
"""A phrase is the detector's unless one of the classifier's labels is more like it by this much."""
KNOWN_MARGIN, KNOWN_MARGIN_WIDTH = 0.3, 0.02
"""How much more like its nearest label than like all a phrase is that means it; one that means none finds nothing."""
LAYER_BITS, WORD_BITS, DETECTOR_BITS = 6, 5, 8


@dataclass(frozen=True)
class Labels:
    """What phrases are compared with, by the sentence encoder.

    Attributes:
        classified: (1000, 384) the classifier's labels.
        detected: (names, 384) names of the detector's labels, several for some.
        owners: (names,) which of the 80 labels each names.
    """

    classified: Array
    detected: Array
    owners: Array


def picture_graph(network: Weights, basis: Array, nouns: Array, detector_classifiers: Array) -> ModelProto:
    """Pictures to unit vectors: (n, h, w, 3) uint8 RGB, h and w whole multiples of 32, to (n, DIM).

    Args:
        network: of EfficientNet-Lite.
        basis: (1000, CLASSIFIED), orthonormal columns, each of sum 0.
        nouns: (nouns, CLASSIFIED) unit rows, the classifiers made for everyday nouns.
        detector_classifiers: (LABELS, CLASSIFIED) unit rows, the classifiers made for the detector's labels.
    """
    graph = Graph()
    x = graph.add("Transpose", graph.add("Cast", "pictures", to=TensorProto.FLOAT), perm=[0, 3, 1, 2])
    scales = np.array([1, 1, CLASSIFIER_SCALE, CLASSIFIER_SCALE], np.float32)
    smaller = graph.add("Resize", x, "", scales, mode="linear", coordinate_transformation_mode="half_pixel")
    view = classifier_vectors(graph, network, smaller, basis, CLASSIFIER_SHARPNESS)
    nearest = graph.add("TopK", graph.linear(view, nouns), np.array([NEAREST_NOUNS]), axis=1, spare=1)
    nearest_nouns = graph.add("ReduceMean", nearest, np.array([1]), keepdims=1)
    middle = MATCH_FLOOR * np.hypot(1, CONTRAST) - CLASSIFIER_LENGTH * MATCH_MARGIN
    scaled = graph.add("Mul", nearest_nouns, np.float32(-CLASSIFIER_LENGTH / CONTRAST))
    contrast = graph.add("Add", scaled, np.float32(middle / CONTRAST))
    claims = graph.add("Sub", graph.linear(view, detector_classifiers), nearest_nouns)
    second = graph.add("Relu", graph.add("Sub", claims, np.float32(SECOND_OPINION_FLOOR)))
    found = detector_evidence(graph, x, DETECTOR_BITS, DETECTOR_SHARPNESS)
    found = graph.add("Add", found, graph.add("Mul", second, np.float32(SECOND_OPINION_WEIGHT)))
    counted = graph.add("Clip", found, np.float32(MIN_EVIDENCE), np.float32(MAX_EVIDENCE))
    slope = DETECTED_LENGTH / (MAX_EVIDENCE - MIN_EVIDENCE)
    detected = graph.add("Mul", graph.add("Sub", counted, np.float32(MIN_EVIDENCE)), np.float32(slope))
    room = graph.add("Sub", np.float32(1 - CLASSIFIER_LENGTH**2), graph.add("Mul", contrast, contrast))
    length = graph.add("ReduceSumSquare", detected, np.array([1]), keepdims=1)
    share = graph.add("Div", room, graph.add("Max", length, np.float32(1e-12)))
    detected = graph.add("Mul", detected, graph.add("Sqrt", graph.add("Min", share, np.float32(1))))
    rest = graph.add("Sqrt", graph.add("Max", graph.add("Sub", room, length), np.float32(0)))
    longer = graph.add("Mul", view, np.float32(CLASSIFIER_LENGTH))
    nothing = graph.add("Mul", rest, np.float32(0))
    vectors = graph.unit(graph.add("Concat", longer, detected, contrast, rest, nothing, axis=1))
    pictures = helper.make_tensor_value_info("pictures", TensorProto.UINT8, ["n", "h", "w", 3])
    return graph.model([pictures], vectors, ["n", DIM])


def text_graph(language: Weights, labels: Labels, basis: Array) -> ModelProto:
    """Texts to unit vectors: ``ids`` and ``mask`` (n, t) to (n, DIM).

    The classifier of a phrase is the mean of the labels' classifiers, weighted by a softmax of its likeness to the
    labels' names; which of the detector's labels it means is found in the same way.
    """
    graph = Graph()
    phrase = sentence_vectors(graph, language, LAYER_BITS, WORD_BITS)
    likeness = graph.linear(phrase, labels.classified)
    named = _best_name_per_label(graph, graph.linear(phrase, labels.detected), labels.owners)
    nearest, detected = (graph.add("ReduceMax", rows, np.array([1]), keepdims=1) for rows in (likeness, named))

    def step(x: str, width: float) -> str:
        return graph.add("Sigmoid", graph.add("Div", x, np.float32(width)))

    usual = graph.add("ReduceMean", likeness, np.array([1]), keepdims=1)

    def known(best: str) -> str:
        return step(graph.add("Sub", graph.add("Sub", best, usual), np.float32(KNOWN_MARGIN)), KNOWN_MARGIN_WIDTH)

    lead = graph.add("Add", graph.add("Sub", detected, nearest), np.float32(CLASSIFIER_LEAD))
    ours = step(lead, CLASSIFIER_LEAD_WIDTH)
    by_detector = graph.add("Mul", ours, known(detected))
    by_classifier = graph.add("Mul", graph.add("Sub", np.float32(1), ours), known(nearest))
    by_classifier = graph.add("Div", by_classifier, np.float32(np.hypot(1, CONTRAST)))

    weight = graph.add("Softmax", graph.add("Div", likeness, np.float32(TEMPERATURE)), axis=-1)
    view = graph.unit(graph.linear(weight, np.ascontiguousarray(basis.T)))
    meant = graph.unit(graph.add("Softmax", graph.add("Div", named, np.float32(NAME_TEMPERATURE)), axis=-1))
    contrast = graph.add("Mul", by_classifier, np.float32(CONTRAST))
    nothing = graph.add("Mul", contrast, np.float32(0))
    said = graph.add(
        "Concat", graph.add("Mul", view, by_classifier), graph.add("Mul", meant, by_detector), contrast, nothing, axis=1
    )
    length = graph.add("ReduceSumSquare", said, np.array([1]), keepdims=1)
    rest = graph.add("Sqrt", graph.add("Max", graph.add("Sub", np.float32(1), length), np.float32(0)))
    return graph.model(text_inputs(), graph.unit(graph.add("Concat", said, rest, axis=1)), ["n", DIM])


def _best_name_per_label(graph: Graph, names: str, owners: Array) -> str:
    """Likeness to names (n, names) to that to the nearest name of each label (n, LABELS)."""
    most = int(np.bincount(owners).max())
    places = np.array([np.resize(np.flatnonzero(owners == label), most) for label in range(LABELS)])
    gathered = graph.add("Gather", names, places.ravel(), axis=1)
    grouped = graph.add("Reshape", gathered, np.array([0, LABELS, most], np.int64))
    return graph.add("ReduceMax", grouped, np.array([2]), keepdims=0)
