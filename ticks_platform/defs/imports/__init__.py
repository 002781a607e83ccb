"""Assets that import files of past days: made by the user, of a folder or an object store of theirs."""
