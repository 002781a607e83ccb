"""The copy of a journal on NATS JetStream: the shipper behind the receiver, and the way back from the stream.

Here: everything that knows of NATS. Not here: the journal on this machine's disk, which knows nothing of a copy.
Nothing here is imported by a feed without ``journal.copy``.
"""
