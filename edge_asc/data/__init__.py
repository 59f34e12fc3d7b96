"""Data sets: the published layout, import of a user's recordings, features on disk, block mixing.

What training and evaluation read. Needs neither TensorFlow nor librosa, and never imports `edge_asc.train`.
"""
