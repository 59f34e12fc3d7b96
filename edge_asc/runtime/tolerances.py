"""How far the same file's answers may be apart on two engines, and why."""

from __future__ import annotations

import math

import numpy as np

from edge_asc.runtime.member import Member
from edge_asc.tflite_file import Model, read_model

FLOAT_TOLERANCE = 1e-5
INT8_DELEGATE_TOLERANCE = 0.1
"""Of the ensemble's probabilities. XNNPACK rounds each int8 layer in its own way and that adds up: single members of
random weights were seen 60 steps of 1/256 away from the built-in kernels."""
LOGIT_STEPS = 2
"""Without a delegate. Kernels give the same bits but for dense layers, which round once or twice (edge_asc.parity
.judging); logits were never seen more than one step apart."""


def int8_tolerance(model: Model) -> float:
    """What `LOGIT_STEPS` steps of the logits can do to a probability, and one step of the output more; 0 for float.

    With all logits moved by d at most, the odds of a label against the rest move by 2 d at most in the exponent, and so
    its probability by tanh(d / 2): much where the steps are large, whatever 1/256 of the output suggests.
    """
    output = model.tensors[model.outputs[0]]
    if output.dtype != np.int8 or output.quantization is None:
        return 0.0
    step = float(output.quantization.scale[0])
    last = next(operator for operator in model.operators if output.index in operator.outputs)
    logits = model.tensors[last.inputs[0]].quantization
    if last.name != "SOFTMAX" or logits is None:
        return LOGIT_STEPS * step
    beta = float(last.options.get("beta", 1.0))
    return step + math.tanh(LOGIT_STEPS * float(logits.scale[0]) * beta / 2)


def tolerance(member: Member, data: bytes) -> float:
    """How far a probability of a loaded member, `data` being its file, may be from the recorded one."""
    if not member.output_step:
        return FLOAT_TOLERANCE
    return INT8_DELEGATE_TOLERANCE if member.uses_delegate else int8_tolerance(read_model(data))
