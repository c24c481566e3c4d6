"""Plain values: documents, Kazoo's names and times, lenient reading of JSON, small containers.

In: numbers, texts and mappings. Offers `PriorityMap`, `Positional` (small pickles), names of
databases and routing keys, and Gregorian times. Imports no other room.
"""
