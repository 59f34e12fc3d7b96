"""Running a bundle: interpreters behind one Member, members behind one Ensemble, and the replay of the golden clip."""

from edge_asc.runtime.ensemble import Ensemble, load_ensemble
from edge_asc.runtime.member import RUNTIMES, Member, find_runtime
from edge_asc.runtime.replay import Check, record_golden, verify_bundle
from edge_asc.runtime.self_test import record_self_test

__all__ = ["RUNTIMES", "Check", "Ensemble", "Member", "find_runtime", "load_ensemble", "record_golden",
           "record_self_test", "verify_bundle"]
