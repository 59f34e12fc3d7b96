"""The comparison itself: every member of every variant on every engine, the same windows for all."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from edge_asc.bundle import Bundle
from edge_asc.errors import BundleError, EdgeAscError, MissingDependencyError, ModelFileError
from edge_asc.parity.engines import Engine
from edge_asc.parity.judging import allowed_difference, is_beyond
from edge_asc.parity.layers import exposed, gaps, real, severed, stored_input
from edge_asc.parity.native import NATIVE_KERNELS, native_probabilities
from edge_asc.parity.results import ENSEMBLE, FLOAT32, Answers, LayerComparison, Parity, Reference, Refusal
from edge_asc.runtime import NATIVE
from edge_asc.runtime.tolerances import int8_tolerance
from edge_asc.tflite_file import read_model

Float32 = NDArray[np.float32]
Judge = Callable[[Float32], Mapping[str, float]]
"""Probabilities [n_windows, n_labels] -> figures against the truth."""

_N_LAYER_WINDOWS = 4


def reference_from_bundle(bundle: Bundle, windows: Float32, *, engine: Engine, why: str) -> Reference:
    """The bundle's own float files on one engine, for want of Keras.

    Args:
        windows: [n, n_mels, n_frames], clamped.
        why: Why there is nothing better; becomes a note.

    Raises:
        BundleError: The bundle has no float variant.
    """
    variant = next((name for name in ("float32-dense", "float32-sparse", "float16-dense", "float16-sparse")
                    if name in bundle.variants), None)
    if variant is None:
        raise BundleError(f"{bundle.path} has no float variant to compare with", found=", ".join(bundle.variants),
                          fix="Name the training run that it was made from: --run RUN (needs the extra `train`).")
    files = {member.name: bundle.member_bytes(member.name, variant) for member in bundle.members}
    probabilities = np.stack([_probabilities(engine, data, windows) for data in files.values()])
    return Reference(name=f"{variant} of the bundle on {engine.name}", probabilities=probabilities, float_files=files,
                     notes=(f"the reference is not Keras but {variant} of the bundle itself: {why}",))


def compare_bundle(bundle: Bundle, windows: Float32, *, engines: Sequence[Engine], reference: Reference,
                   judge: Judge | None = None, n_layer_windows: int = _N_LAYER_WINDOWS, native: bool = False,
                   notify: Callable[[str], None] | None = None) -> Parity:
    """Run everything on everything.

    Args:
        bundle: From `Bundle.load`.
        windows: [n, n_mels, n_frames], clamped.
        engines: From `installed_engines`; the others are compared with the first.
        reference: What all answers are compared with.
        judge: Figures against the truth, if it is known.
        n_layer_windows: So many windows, evenly spread, are compared layer by layer.
        native: Compare the answers of the native engine too; a note says so where that lacks a compiler.
        notify: Told what is being run.

    Raises:
        ModelFileError: A file of the bundle, or the reference's float file, cannot be read or does not fit.
    """
    places = np.unique(np.linspace(0, len(windows) - 1, min(n_layer_windows, len(windows))).round().astype(int))
    comparison = _Comparison(bundle, windows, windows[places], engines, reference, judge, native)
    for variant in bundle.variants:
        if notify:
            notify(f"{variant} on {len(engines)} engines")
        comparison.add(variant)
    scores = {}
    if judge:
        names = [member.name for member in bundle.members]
        scores = {ENSEMBLE: judge(reference.probabilities.mean(axis=0)),
                  **{name: judge(rows) for name, rows in zip(names, reference.probabilities, strict=True)}}
    has_int8 = any(variant.startswith("int8-") for variant in bundle.variants)
    compared = (*(each.name for each in engines), *([NATIVE] if comparison.native and has_int8 else []))
    return Parity(bundle=str(bundle.path), reference=reference.name, engines=compared, n_windows=len(windows),
                  n_layer_windows=len(places), reference_scores=scores, answers=tuple(comparison.answers),
                  layers=tuple(comparison.layers), refusals=tuple(comparison.refusals),
                  notes=(*reference.notes, *comparison.notes))


class _Comparison:
    def __init__(self, bundle: Bundle, windows: Float32, layer_windows: Float32, engines: Sequence[Engine],
                 reference: Reference, judge: Judge | None, native: bool) -> None:
        self.bundle, self.windows, self.layer_windows = bundle, windows, layer_windows
        self.engines, self.reference, self.judge, self.native = engines, reference, judge, native
        self.answers: list[Answers] = []
        self.layers: list[LayerComparison] = []
        self.refusals: list[Refusal] = []
        self.notes: list[str] = []

    def add(self, variant: str) -> None:
        """All members of a variant on all engines."""
        members = [member.name for member in self.bundle.members]
        found: dict[str, list[Float32]] = {engine.name: [] for engine in self.engines}
        tolerances = []
        for member in members:
            data = self.bundle.member_bytes(member, variant)
            tolerances.append(int8_tolerance(read_model(data)))
            for engine in self.engines:
                if engine.takes(data, variant):
                    try:
                        found[engine.name].append(_probabilities(engine, data, self.windows))
                    except ModelFileError as error:
                        self._refused(variant, engine.name, member, error)
            self._compare_layers(variant, member, data)
        kernels = {engine.name: engine.kernels for engine in self.engines}
        if self.native and variant.startswith("int8-"):
            kernels[NATIVE], found[NATIVE] = NATIVE_KERNELS, self._native_rows(variant)
        for name, rows in found.items():
            # Not meant for this variant, or refused: never an ensemble of fewer members.
            if len(rows) == len(members):
                self._answers(variant, name, kernels[name], rows, found[self.engines[0].name], tolerances)

    def _native_rows(self, variant: str) -> list[Float32]:
        try:
            return list(native_probabilities(self.bundle, variant, self.windows))
        except MissingDependencyError as error:
            self.native = False
            self.notes.append(f"the native engine is not compared: {error.what}")
        except EdgeAscError as error:
            self._refused(variant, NATIVE, ENSEMBLE, error)
        return []

    def _refused(self, variant: str, engine: str, member: str, error: EdgeAscError) -> None:
        refusal = Refusal(variant=variant, engine=engine, member=member, reason=str(error))
        if refusal not in self.refusals:  # the file and its exposed form are two tries
            self.refusals.append(refusal)

    def _answers(self, variant: str, engine: str, kernels: str, rows: list[Float32], first: list[Float32],
                 tolerances: list[float]) -> None:
        """The ensemble's, then each member's; compared with themselves where the first engine has not all."""
        plain = first if len(first) == len(rows) else rows
        wanted = self.reference.probabilities
        self._answer(variant, engine, kernels, ENSEMBLE, np.mean(rows, axis=0), wanted.mean(axis=0),
                     np.mean(plain, axis=0), float(np.mean(tolerances)))
        for number, member in enumerate(self.bundle.members):
            self._answer(variant, engine, kernels, member.name, rows[number], wanted[number], plain[number],
                         tolerances[number])

    def _answer(self, variant: str, engine: str, kernels: str, member: str, found: Float32, wanted: Float32,
                first: Float32, tolerance: float) -> None:
        difference = np.abs(found.astype(np.float64) - wanted)
        allowed = allowed_difference(kernels, int8_tolerance=tolerance, is_ensemble=member == ENSEMBLE)
        self.answers.append(Answers(
            variant=variant, engine=engine, member=member,
            label_agreement=float((found.argmax(axis=1) == wanted.argmax(axis=1)).mean()),
            largest_difference=float(difference.max()), mean_difference=float(difference.mean()),
            from_first_engine=float(np.abs(found.astype(np.float64) - first).max()),
            allowed_from_first_engine=allowed, scores=dict(self.judge(found)) if self.judge else {}))

    def _compare_layers(self, variant: str, member: str, data: bytes) -> None:
        """The first engine with the float network; each layer of the other engines, for itself, with the first."""
        first, (whole, layers) = self.engines[0], exposed(data)
        wanted_file, wanted_layers = exposed(self.reference.float_files[member])
        inputs = stored_input(read_model(whole), self.layer_windows)
        wanted = first.run(wanted_file, stored_input(read_model(wanted_file), self.layer_windows))
        if not first.takes(data, variant):
            return
        try:
            outputs = first.run(whole, inputs)
        except ModelFileError as error:
            self._refused(variant, first.name, member, error)
            return  # there is nothing to hold the other engines' layers against
        self.layers.append(LayerComparison(variant=variant, engine=first.name, member=member, against=FLOAT32,
                                           gaps=tuple(gaps(layers, outputs, wanted, wanted_layers))))
        alone, sources = severed(data)
        known = dict(zip((tensor.index for _, tensor in layers), outputs, strict=True))
        known[read_model(data).inputs[0]] = inputs
        for engine in self.engines[1:]:
            # What is exposed is written anew, dense: nothing is left of how a sparse file was stored.
            if engine.as_stored or not engine.takes(data, variant):
                continue
            try:
                found = engine.run(alone, *(known[index] for index in sources))
            except ModelFileError as error:
                self._refused(variant, engine.name, member, error)
                continue
            found_gaps = tuple(gaps(layers, found, outputs, layers))
            self.layers.append(LayerComparison(
                variant=variant, engine=engine.name, member=member, against=first.name, gaps=found_gaps,
                beyond=next((gap for gap in found_gaps if is_beyond(gap, engine.kernels)), None)))


def _probabilities(engine: Engine, data: bytes, windows: Float32) -> Float32:
    """[n_windows, n_labels], dequantised."""
    model = read_model(data)
    outputs = engine.run(data, stored_input(model, windows))
    found = real(outputs[0], model.tensors[model.outputs[0]])
    if not np.isfinite(found).all():
        raise ModelFileError(f"{engine.name} answers with something that is not a number")
    return found
