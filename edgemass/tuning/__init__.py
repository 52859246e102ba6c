"""Which variant of a bundle runs best on this board, on what and with how many threads: measured, not guessed.

candidates -> measuring (each in a child process, in turn with the reference variant) -> choosing (pure) -> a Pick,
which `bundles.picks` keeps and `bundles.open_detector` uses.
"""
