"""From a checkpoint to a bundle that devices run."""
