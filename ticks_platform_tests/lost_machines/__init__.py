"""Machines that copy their journals to three NATS servers, and are lost with their disks."""
