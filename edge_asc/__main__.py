"""`python -m edge_asc` is the same as `edge-asc`."""

from edge_asc.cli import main

main()
