"""Reads and writes documents in the store, with one file for each kind of document.

In: a `DocumentStore`, and values of the domain. Offers hooks, attempts, dead letters, tokens,
metadata, settings of the cluster, and long jobs over all documents in slices (`maintenance`).
"""
