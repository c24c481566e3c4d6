"""What the tests of more than one area build on."""
