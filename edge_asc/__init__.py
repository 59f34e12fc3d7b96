"""edge-asc: acoustic scene classification from labelled recordings to a device.

Training writes a bundle; everything else only reads one.
"""

__version__ = "0.1.0"
