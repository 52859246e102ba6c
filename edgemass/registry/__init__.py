"""Where models come from: OCI registries and layout folders, deltas, and the trust that decides what may be used.

`oci` and `part_file` need nothing but the base installation; the rest needs the extra `update`.
"""
