"""Users upgrade: databases, journals and settings of an earlier commit go on working. A test of them stands in here.

`dump/` is what that commit had: the statements that made its database, the rows, its journals as SQL, its feeds.yaml
and policies.yaml, what it read in them, and what its own next start made of all this, which is what the code of today
has to make of it as well. It loads on any version of TimescaleDB that is supported. `make_dump` makes another one, of
another commit, by running that one's code: do so before a change of schema, journal or settings is begun, and let the
tests say what the change forgot. Options that are new belong into `dump/settings/*.full.yaml`, by hand, before that.

What a migration has to keep is tested here, and how one is written is in CONTRIBUTING. Tests of what the tables,
journals and settings mean belong to the code that uses them.
"""
