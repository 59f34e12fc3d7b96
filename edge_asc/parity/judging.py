"""When do two engines agree? Every tolerance of a parity report, and why.

An int8 layer multiplies and adds whole numbers, which all engines do alike; then it scales each sum down to eight bits,
and only there may they round differently. So each layer is judged by itself: it gets exactly the inputs that the
reference kernels had, and its output may be one quantisation step away, in few values. What was found (LiteRT 2.3,
tflite-runtime 2.14, TFLite Micro, x86-64, the bundle in the box):

* Reference kernels, TFLite Micro among them, give the same bits in every operator but FULLY_CONNECTED. There LiteRT's
  rounds once, a product of 64 bits; the others round twice, its upper half and then what is shifted out; LiteRT's
  optimised ones do either or neither, by the size of the layer. One value in 2000 differs, by one step.
* XNNPACK scales in float32: up to 0.8 % of a layer's values differ (6 % in a MUL of another bundle), by one step.

Given its own inputs a layer shows what the layers before it did too, and a step can become many: in i1 of the box one
step of the logits is 0.27, and so a single rounding in its dense layers moves a probability by 4 steps of 1/256.
Answers are therefore held to what two steps of the logits can do (`edge_asc.runtime.tolerances`).
"""

from __future__ import annotations

from edge_asc.parity.results import LayerGap
from edge_asc.runtime.tolerances import FLOAT_TOLERANCE, INT8_DELEGATE_TOLERANCE

FLOAT_DELEGATE_TOLERANCE = 1e-4
"""A delegate adds up in another order."""
LARGEST_STEPS = 1 + 1e-3
"""Steps are counted in real numbers; one step is not always 1.0 exactly."""
SHARE, LEAST = 0.2, 4
"""So many values of a layer may differ by a step, the larger of a share and a number: rounding differs where a value
lies close to a half. An engine that cuts off instead of rounding, say, differs in half of them."""
_ROUNDED_ONCE_OR_TWICE = ("FULLY_CONNECTED",)


def allowed_values(gap: LayerGap, kernels: str) -> int:
    """How many values of an int8 layer may differ by a step; `kernels` is a key of `worker.KERNELS`."""
    if kernels == "reference" and gap.operator not in _ROUNDED_ONCE_OR_TWICE:
        return 0
    return max(LEAST, int(SHARE * gap.n_values))


def is_beyond(gap: LayerGap, kernels: str) -> bool:
    """Whether a layer is further from the reference kernels, given the same inputs, than rounding explains."""
    if not gap.largest_steps <= LARGEST_STEPS:
        return True
    return gap.is_int8 and gap.n_different > allowed_values(gap, kernels)


def allowed_difference(kernels: str, *, int8_tolerance: float, is_ensemble: bool) -> float | None:
    """How far a probability may be from the first engine's; `int8_tolerance` is 0 for a float file.

    None: nothing is promised. A delegate rounds every layer, and that adds up in a single member; the mean over the
    members must hold.
    """
    if not int8_tolerance:
        return FLOAT_DELEGATE_TOLERANCE if kernels == "delegate" else FLOAT_TOLERANCE
    if kernels == "delegate":
        return INT8_DELEGATE_TOLERANCE if is_ensemble else None
    return int8_tolerance
