"""A deployment with Celery on two machines, each in a network of its own: faults from a seed, and the count after each.

The machines are real workers in network namespaces of Linux, whose cable can be pulled: what is sent then is neither
refused nor answered. Needs root, Redis, PostgreSQL and a native TimescaleDB.
"""
