"""Refresh, columnstore and retention policies: what policies.yaml declares, and what the database has.

`settings` reads the file, `jobs` compares it with the database's jobs and changes what differs, `policies` runs one by
hand. Not here: the schedules that run them where the database has no scheduler (`defs`).
"""
