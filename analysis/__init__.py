"""Experiments: readers and pure analysis functions for measured data."""
