"""The asset checks. All of them are rows of one table, CHECKS in `table.py`: a new check is added there.

A check that is one query is a row alone: write `sql/queries/checks/<check>.sql`, which returns one row (how many were
judged, how many offend, examples of those as JSON), and name the file in the row. A check that has to do more (ask a
calendar, read journals, heal what it finds, weigh several findings) is a row that names a function of this folder.
`check.py` makes Dagster's objects out of the rows; `jobs.py` runs them.
"""
