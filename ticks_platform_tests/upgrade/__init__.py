"""Databases, journals and settings of an earlier commit continue to work under the code of today.

`dump/` has what that commit left: the statements that made its database, the rows, its journals as SQL text, its
feeds.yaml and policies.yaml, and what its own code made of all this at its next start. The code of today has to make
the same of it. The dump loads on every supported version of TimescaleDB. `earlier/` and `older/` are of commits before,
from which users upgrade too; their tests are among those that take longer.

Before a change of schema, journal or settings begins: add options that are new since the last dump to
``dump/settings/*.full.yaml``, run `make_dump` on the commit before, and commit what it wrote. Then the tests tell what
the change forgot.

Belongs here: what an upgrade has to keep. Does not belong here: how a migration is written (CONTRIBUTING), and what
tables, journals and settings mean (the tests of the code that uses them).
"""
