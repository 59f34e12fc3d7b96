"""The figures of Ooi, Peksi and Gan 2020, tables 1 to 4: means and standard deviations of 10 runs on the validation
clips, the best epoch chosen on those same clips. To be shown beside what is measured; nothing else reads them.
"""

from __future__ import annotations

from dataclasses import dataclass

N_RUNS = 10


@dataclass(frozen=True)
class Published:
    """What the paper prints of one row; None where it prints nothing."""

    macro: float
    macro_sd: float
    micro: float | None = None
    micro_sd: float | None = None
    n_nonzero: int | None = None
    kb: float | None = None


TABLE1 = {(n_mels, n_fft): Published(macro, sd) for n_mels, n_fft, macro, sd in (
    (32, 1024, .8789, .0070), (32, 2048, .8738, .0078), (32, 4096, .8693, .0085),
    (48, 1024, .8776, .0057), (48, 2048, .8858, .0052), (48, 4096, .8797, .0097),
    (64, 1024, .8846, .0056), (64, 2048, .8848, .0052), (64, 4096, .8785, .0056))}
"""By mel bands and FFT size."""

TABLE2 = {(n_segments, match): Published(macro, sd) for n_segments, match, macro, sd in (
    (2, "scene", .8852, .0068), (4, "scene", .8839, .0086), (5, "scene", .8870, .0067), (10, "scene", .8852, .0079),
    (2, "label", .8887, .0060), (4, "label", .8895, .0048), (5, "label", .8821, .0057), (10, "label", .8840, .0069))}
"""By number of segments and the label that all of them share."""

TABLE2_FRIEDMAN = {"n_segments": 0.3023, "match": 0.5453}

TABLE3 = {
    (1, False): Published(.8890, .0058, .8896, .0052, 80839, 315.8),
    (1, True): Published(.8797, .0080, .8798, .0088, 17115, 66.9),
    (2, False): Published(.8728, .0040, .8734, .0044, 167571, 654.6),
    (2, True): Published(.8797, .0069, .8803, .0070, 34181, 133.5),
    (3, False): Published(.9108, .0041, .9112, .0040, 571768, 2233.6),
    (3, True): Published(.9066, .0020, .9060, .0020, 119758, 467.8),
    (4, False): Published(.9130, .0024, .9132, .0024, 571768, 2233.6),
    (4, True): Published(.9090, .0020, .9086, .0019, 119758, 467.8)}
"""By model and whether it is pruned."""

TABLE3_RANK_SUM = {("micro_accuracy", 1): .0210, ("micro_accuracy", 2): .0140, ("micro_accuracy", 3): .0090,
                   ("micro_accuracy", 4): .0001, ("macro_accuracy", 1): .0155, ("macro_accuracy", 2): .0173,
                   ("macro_accuracy", 3): .0538, ("macro_accuracy", 4): .0025}
"""p of pruned against unpruned, by figure and model."""

TABLE4 = {
    "V(0,0,1,1)": Published(.8624, .0019, .8616, .0014, 54415, 212.6),
    "V(2,2,3,3)": Published(.8921, .0040, .8920, .0045, 80839, 315.8),
    "V(4,4,5,5)": Published(.8794, .0036, .8797, .0044, 106327, 415.3),
    "I(1,0,1)": Published(.8890, .0016, .8891, .0018, 68099, 266.0),
    "I(2,1,2)": Published(.8743, .0036, .8758, .0048, 167571, 654.6),
    "I(3,2,3)": Published(.8789, .0043, .8801, .0043, 267042, 1043.1)}
"""Unpruned, by architecture."""

TABLE4_RANK_SUM_BELOW = 0.001
"""Published bound of p: V(2,2,3,3) and I(1,0,1) against the others of their family."""
