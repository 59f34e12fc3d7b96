"""From a FeatureSpec to the constants and tables of the C front end, so that no number is ever typed twice.

Both kinds of front end get their tables from here: float32 ones printed so that they read back exactly, and integer
ones for parts without an FPU; the C compiler picks one of the two.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_asc.errors import InputError
from edge_asc.features import filterbank
from edge_asc.spec import FeatureSpec
from firmware_export.emit.levels import InputQuantization, fixed_quantiser

HEADER, SOURCE = "asc_model_features.h", "asc_model_features.c"
SPARE_FRAMES = 64
"""By default 1.4 s of frames may arrive while a window is being classified."""

# Levels in 1/256 dB must fit 16 bits with their sign, with room for a sum of loud bands above 0 dB.
_LOWEST_DB = -127.0
# The float path: samples as integers (2^15), a window times two and a spectrum times two, squared.
_FLOAT_POWER_DB = 10 * math.log10(2.0**34)


def feature_files(spec: FeatureSpec, quantization: InputQuantization, *, provenance: str,
                  n_spare_frames: int = SPARE_FRAMES) -> dict[str, str]:
    """The generated C of the front end.

    Args:
        spec: The front end.
        quantization: Of the members' input tensor.
        provenance: A C comment that opens each file: what it was made from and how.
        n_spare_frames: Frames that may arrive while a window is being classified, n_mels + 1 bytes of RAM each.

    Returns:
        File name -> content, two files.

    Raises:
        InputError: The C front end cannot compute this specification.
    """
    _check(spec, quantization)
    bands = _bands(spec)
    return {HEADER: _header(spec, quantization, bands, provenance, n_spare_frames),
            SOURCE: _source(spec, bands, provenance)}


def frontend_table_bytes(spec: FeatureSpec) -> int:
    """Flash of the front end's tables: those in float32, which are the larger ones."""
    return 4 * (spec.n_fft // 4 + 1) + 4 * int(_bands(spec).length.sum()) + 4 * spec.n_mels


@dataclass(frozen=True)
class _Bands:
    """The filterbank without its zeros: band j covers bins first[j] to first[j] + length[j] - 1."""

    first: NDArray[np.intp]
    length: NDArray[np.intp]
    weights: list[NDArray[np.float32]]


def _bands(spec: FeatureSpec) -> _Bands:
    bank = filterbank(spec)
    first = (bank > 0).argmax(axis=1)
    length = (bank > 0).sum(axis=1)
    weights = [row[start : start + n] for row, start, n in zip(bank, first, length, strict=True)]
    return _Bands(first, length, weights)


def _check(spec: FeatureSpec, quantization: InputQuantization) -> None:
    lowest_db = 10 * math.log10(spec.amin)
    if lowest_db < _LOWEST_DB:
        raise InputError("the C front end holds levels in 16 bits", found=f"amin {spec.amin:g} ({lowest_db:.0f} dB)",
                         wanted=f"at least {10 ** (_LOWEST_DB / 10):.1e} ({_LOWEST_DB:.0f} dB)")
    if not 2**-6 <= quantization.scale <= 2**6:
        raise InputError("the members' input tensor has an unusable scale", found=f"{quantization.scale:g} dB per step",
                         wanted="1/64 to 64 dB", fix="Convert the members again with representative windows.")


def _header(spec: FeatureSpec, quantization: InputQuantization, bands: _Bands, provenance: str,
            n_spare_frames: int) -> str:
    first_radix = 4 if (spec.n_fft // 2).bit_length() % 2 == 1 else 2
    factor, offset, shift = fixed_quantiser(quantization)
    top_db = spec.top_db or 0.0
    n_weights, fps = int(bands.length.sum()), spec.sample_rate_hz / spec.hop_length
    return f"""{provenance}
#ifndef ASC_MODEL_FEATURES_H
#define ASC_MODEL_FEATURES_H

#include "asc_config.h"

#include <stdint.h>

#define ASC_SAMPLE_RATE_HZ {spec.sample_rate_hz}
#define ASC_N_FFT {spec.n_fft}
#define ASC_HOP_LENGTH {spec.hop_length}
#define ASC_N_MELS {spec.n_mels}
#define ASC_N_FRAMES {spec.n_frames}
#define ASC_HAS_TOP_DB {int(spec.top_db is not None)}
#define ASC_FFT_FIRST_RADIX {first_radix}

/* Frames that may arrive while a window is being classified: {spec.n_mels + 1} bytes each, {fps:.1f} a second.
   When they are used up, samples are dropped until the classification ends. */
#ifndef ASC_SPARE_FRAMES
#define ASC_SPARE_FRAMES {n_spare_frames}
#endif

extern const uint16_t asc_model_mel_first[ASC_N_MELS];  /* first FFT bin of each band */
extern const uint16_t asc_model_mel_length[ASC_N_MELS]; /* bins with a weight in each band */

#if ASC_FIXED_POINT
#define ASC_AMIN_DB_256 ({round(10 * math.log10(spec.amin) * 256)})
#define ASC_TOP_DB_256 {round(top_db * 256)}
#define ASC_INPUT_FACTOR {factor}
#define ASC_INPUT_OFFSET ({offset})
#define ASC_INPUT_SHIFT {shift}
extern const uint16_t asc_model_sine[ASC_N_FFT / 2 + 1];  /* sin(pi i / n_fft) * 32768 */
extern const uint32_t asc_model_log2[33];                 /* log2(1 + i / 32) * 65536 */
extern const uint16_t asc_model_mel_weights[{n_weights}];      /* band after band; the largest of each is 65535 */
extern const int32_t asc_model_mel_offset[ASC_N_MELS];    /* what is to be added to each band, in 1/256 dB */
#else
#define ASC_AMIN {_float(spec.amin * 2.0**34)}
#define ASC_DB_OFFSET ({_float(-_FLOAT_POWER_DB)})
#define ASC_TOP_DB {_float(top_db)}
#define ASC_INPUT_FACTOR {_float(1 / quantization.scale)}
#define ASC_INPUT_OFFSET {_float(quantization.zero_point + 128.5)}
extern const float asc_model_cosine[ASC_N_FFT / 4 + 1]; /* cos(2 pi i / n_fft) */
extern const float asc_model_mel_weights[{n_weights}];       /* band after band */
#endif

#endif
"""


def _source(spec: FeatureSpec, bands: _Bands, provenance: str) -> str:
    cosine = np.cos(2 * np.pi * np.arange(spec.n_fft // 4 + 1) / spec.n_fft)
    cosine[-1] = 0.0
    sine = np.sin(np.pi * np.arange(spec.n_fft // 2 + 1) / spec.n_fft)
    peaks = np.array([band.max() for band in bands.weights], dtype=np.float64)
    n_passes = ((spec.n_fft // 2).bit_length() - 2) // 2
    # A windowed sample gains 13 bits, each pass after the first takes 2 away, the split 1, and a power loses 16.
    power_log2 = 2 * (15 + 13 - 2 * n_passes - 1) - 16
    offset_db = -10 * np.log10(65535 / peaks) - 10 * np.log10(2.0) * power_log2
    weights = [np.rint(band * (65535 / peak)) for band, peak in zip(bands.weights, peaks, strict=True)]
    return f"""{provenance}
#include "{HEADER}"

const uint16_t asc_model_mel_first[ASC_N_MELS] = {{{_integers(bands.first)}}};
const uint16_t asc_model_mel_length[ASC_N_MELS] = {{{_integers(bands.length)}}};

#if ASC_FIXED_POINT
const uint16_t asc_model_sine[ASC_N_FFT / 2 + 1] = {{{_integers(np.rint(32768 * sine))}}};
const uint32_t asc_model_log2[33] = {{{_integers(np.rint(65536 * np.log2(1 + np.arange(33) / 32)))}}};
const uint16_t asc_model_mel_weights[] = {{{_integers(np.concatenate(weights))}}};
const int32_t asc_model_mel_offset[ASC_N_MELS] = {{{_integers(np.rint(256 * offset_db))}}};
#else
const float asc_model_cosine[ASC_N_FFT / 4 + 1] = {{{_floats(cosine)}}};
const float asc_model_mel_weights[] = {{{_floats(np.concatenate(bands.weights))}}};
#endif
"""


def _float(value: float) -> str:
    """A C constant of type float that reads back as the float32 nearest to `value`."""
    text = str(np.float32(value))
    return text + ("f" if "." in text or "e" in text else ".0f")


def _floats(values: Iterable[float]) -> str:
    return _wrapped(_float(value) for value in values)


def _integers(values: Iterable[float]) -> str:
    return _wrapped(str(int(value)) for value in values)


def _wrapped(items: Iterable[str]) -> str:
    """Comma-separated items in lines of at most 110 characters."""
    lines, line = [], ""
    for item in items:
        if len(line) + len(item) + 2 > 106:
            lines.append(line)
            line = ""
        line += f"{' ' if line else ''}{item},"
    return "\n    " + "\n    ".join([*lines, line]) + "\n"
