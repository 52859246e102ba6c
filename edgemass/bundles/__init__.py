"""Model files and bundles: import, check, describe, resolve what `--model` names, load."""
