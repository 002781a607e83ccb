"""What the server expects of every provider: a session with a client, a REST API; and what providers share.

Without I/O. Not here: one provider's messages, which are in the folder that bears its name.
"""
