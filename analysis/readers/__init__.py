"""Readers: one function per kind of file, each returning columns with units in their names."""
