"""Document stores behind one protocol: CouchDB and an embedded one."""
