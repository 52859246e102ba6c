"""Pruning: channels that matter least are cut out of a net, which leaves a smaller net of the same kind."""
