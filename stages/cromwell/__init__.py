"""Cromwell edits code from the shell, offline, on a CPU."""

__version__ = "0.1.0"
