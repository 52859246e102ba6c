"""Where models come from: OCI registries and layout folders, deltas, and the trust that decides what may be used.

`part_file`, `hardware`, `reference` and `obtaining` need nothing but the base installation; the rest needs the extra
`update`.
"""
