"""What the other folders share: resources, labels, the job `bring_up`. Nothing that belongs to one subject alone."""
