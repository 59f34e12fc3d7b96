"""How large a bundle is, counted in every way that somebody counts, and whether that fits a budget.

Computes only; `edge-asc audit` prints it.
"""

from edge_asc.audit.budgets import COUNTS, DEFAULT_BUDGET, MEASURES, PRESETS, Budget, parse_budgets
from edge_asc.audit.bundle_audit import Audit, Check, MemberSizes, amount, audit_bundle, member_sizes, sum_sizes
from edge_asc.audit.layers import LayerSize, count_model, peak_activation_bytes

__all__ = ["COUNTS", "DEFAULT_BUDGET", "MEASURES", "PRESETS", "Audit", "Budget", "Check", "LayerSize", "MemberSizes",
           "amount", "audit_bundle", "count_model", "member_sizes", "parse_budgets", "peak_activation_bytes",
           "sum_sizes"]
