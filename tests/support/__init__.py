"""Builders and running systems shared by the tests of more than one area."""
