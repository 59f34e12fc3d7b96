"""Layers -> steps over stripes of columns, and the arena that holds them."""
