"""Running a bundle: engines behind one Member, members behind one Ensemble, and the replay of the golden clip."""

from edge_asc.runtime.engines import ENGINES, INTERPRETERS, NATIVE, find_engine
from edge_asc.runtime.ensemble import Ensemble
from edge_asc.runtime.loading import load_ensemble
from edge_asc.runtime.member import Member
from edge_asc.runtime.replay import Check, record_golden, verify_bundle
from edge_asc.runtime.self_test import record_self_test

__all__ = ["ENGINES", "INTERPRETERS", "NATIVE", "Check", "Ensemble", "Member", "find_engine", "load_ensemble",
           "record_golden", "record_self_test", "verify_bundle"]
