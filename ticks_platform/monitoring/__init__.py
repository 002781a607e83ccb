"""What is wrong now, and the metrics of all feeds. Not here: telling people (`alerts`, `defs/alerts`)."""
