"""Jobflow Makers and flows, calculators, managers and the command line."""
