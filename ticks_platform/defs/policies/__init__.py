"""The policies of policies.yaml, run by the database or by a schedule here, and the reader's grants."""
