"""Search for better settings with Optuna: of a training, of a bundle's thresholds, of its compression."""
