"""Repair: what a gap has missed is asked of the provider's history, within a budget, and loaded as live frames are.

Not here: the requests themselves (each provider's `history` in `feeds`), and which gaps there are (`gaps`).
"""
