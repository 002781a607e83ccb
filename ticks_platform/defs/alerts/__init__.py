"""Sensors that post failed runs and checks to a webhook. How a message is posted is in `ticks_platform.alerts`."""
