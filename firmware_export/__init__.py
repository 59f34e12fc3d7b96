"""From a bundle to C99 that runs on a microcontroller. Needs neither TensorFlow nor an interpreter.

The way of a bundle: `network` reads its members, `planning` orders their operators and lays out the arena, `emit`
prints them as C beside the hand-written kernels in c/, `output` is the folder that comes of it, `boards` knows what
fits where, `proof` compiles and runs an export and compares. export.py goes the whole way but for the proof.
"""
