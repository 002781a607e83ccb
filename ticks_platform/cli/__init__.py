"""The ``ticks`` command: a module per subcommand, each imported when it is called.

Here belongs what reads arguments, prints and sets exit codes. Not here: anything that another program could want to
call, which is in the layer that does the work. Only `dev` starts Dagster, and as another process.
"""
