"""Document stores behind one protocol: CouchDB and an embedded one in a SQLite file.

In: documents, revisions, views. Offers `DocumentStore` and its errors, `stores.connect` for a URL,
the `views` that Callboard reads, `revise` for documents that others change too, and `Spool` for
records that wait on disk while the store is away.
"""
