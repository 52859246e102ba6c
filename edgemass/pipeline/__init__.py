"""One camera's straight line: capture, the slot of one, detection, documents."""
