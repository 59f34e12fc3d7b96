"""A bundle: the one artefact that training writes and everything else reads.

On disk a folder with manifest.json, members/<variant>/<name>.tflite, golden.npz, audit.json and MODEL_CARD.md.
"""

from edge_asc.bundle.golden import Golden
from edge_asc.bundle.manifest import FileEntry, MemberEntry
from edge_asc.bundle.reading import Bundle, shipped_bundle
from edge_asc.bundle.saving import NewMember, save_bundle

__all__ = ["Bundle", "FileEntry", "Golden", "MemberEntry", "NewMember", "save_bundle", "shipped_bundle"]
