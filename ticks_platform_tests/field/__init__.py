"""The field campaign: what happens to machines, disks, databases and providers, against a feed server of its own.

The server and the count share no code with `ticks_standin`, and the count reads the tables with SQL of its own.
`ticks_platform_tests/faults` is the other campaign: exact places to die at, and defects that its count must find.
"""
