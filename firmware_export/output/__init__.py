"""The folder that an export is: its description, its sizes, its README and what package managers look for."""
