"""Measuring a bundle on the machine at hand: verify first, then time, in turns with whatever it is compared with.

Nothing is imported here: workers in foreign environments import `edge_asc.bench.serve` and little else.
"""
