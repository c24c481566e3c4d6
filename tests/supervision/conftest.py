"""Supervised trees for the tests of this folder."""

import logging

import pytest

from support.trees import Tree


@pytest.fixture
def grow():
    """grow(base, args, …) -> Tree; ended with the test."""
    trees = []

    def grow(base, args, **options):
        trees.append(Tree(base, args, **options))
        return trees[-1]

    logging.getLogger("Thespian").setLevel(logging.CRITICAL)
    yield grow
    for tree in trees:
        tree.close()
