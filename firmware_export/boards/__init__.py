"""Real boards, and what fits on them."""
