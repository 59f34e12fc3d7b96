"""How large a bundle is, counted in every way that somebody counts, and whether that fits a budget.

Computes only; `edge-asc audit` prints it.
"""

from edge_asc.audit.budgets import DEFAULT_BUDGET, PRESETS, Budget, parse_budgets
from edge_asc.audit.bundle_audit import Audit, Check, MemberSizes, audit_bundle
from edge_asc.audit.layers import LayerSize, count_model, peak_activation_bytes

__all__ = ["DEFAULT_BUDGET", "PRESETS", "Audit", "Budget", "Check", "LayerSize", "MemberSizes", "audit_bundle",
           "count_model", "parse_budgets", "peak_activation_bytes"]
