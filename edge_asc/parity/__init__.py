"""Does a bundle compute the same everywhere? Every variant on every engine, against one reference, layer by layer.

`compare_bundle` computes, `Parity` holds the figures, `tables` and `page` show them. No TensorFlow: what Keras says
comes in as a `Reference` (edge_asc.train.keras_reference).
"""

from edge_asc.parity.compare import Judge, compare_bundle, reference_from_bundle
from edge_asc.parity.engines import Engine, installed_engines
from edge_asc.parity.results import Answers, LayerComparison, LayerGap, Parity, Reference, Refusal

__all__ = ["Answers", "Engine", "Judge", "LayerComparison", "LayerGap", "Parity", "Reference", "Refusal",
           "compare_bundle", "installed_engines", "reference_from_bundle"]
