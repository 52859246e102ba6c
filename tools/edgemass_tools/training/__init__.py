"""Training: one loop for every net, and per task a Job that knows its data, its loss and its measure."""
