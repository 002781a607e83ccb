"""Twelve Data: its messages and events, the session with one client, and its REST API.

Without I/O. Where documentation and live service differ, or nothing is documented, a setting decides.
"""
