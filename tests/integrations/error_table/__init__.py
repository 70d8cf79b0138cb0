"""Smartcar's table of errors, row by row: what the portal then knows, does and shows.

Each row is met three times through the real client: as the answer to a whole poll, as the answer
to one signal of it, and as the answer to each of its signals.
"""
