"""The doctor: everything a listening node needs, looked at on the machine itself."""

from edge_asc.listen.doctor.examination import examine
from edge_asc.listen.doctor.findings import BAD, GOOD, NOTE, Finding

__all__ = ["BAD", "GOOD", "NOTE", "Finding", "examine"]
