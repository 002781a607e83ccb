"""What is wrong, and the metrics of all feeds."""
