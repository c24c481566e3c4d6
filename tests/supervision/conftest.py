"""Supervised trees for the tests of this folder."""

import logging

import pytest

from support.trees import Tree


@pytest.fixture
def grow():
    """grow(base, spec) -> Tree; ended with the test."""
    trees = []

    def grow(base, spec):
        trees.append(Tree(base, spec))
        return trees[-1]

    logging.getLogger("Thespian").setLevel(logging.CRITICAL)
    yield grow
    for tree in trees:
        tree.close()
