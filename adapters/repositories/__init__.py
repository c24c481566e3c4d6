"""What is kept in the store, one file a kind of document."""
