"""What is kept in the store, one file a kind of document.

In: a `DocumentStore`, and values of the domain. Offers hooks, attempts, dead letters, tokens,
metadata, settings of the cluster, and long work over all of them in slices (`maintenance`).
"""
