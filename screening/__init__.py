"""The physics of the screen: pure functions on structures and energies.

Nothing in here knows a job, a store or a file.
"""
