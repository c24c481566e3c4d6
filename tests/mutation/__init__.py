"""`make mutants`: change one thing in the product, and see whether a test fails (decision 33)."""
