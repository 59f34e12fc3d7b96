"""Compiling an export, running it here and in QEMU, and comparing what it answers."""
