"""Outposts, as far as they can be seen without another machine."""

import pytest

from callboard.supervision import ChildSpec, SupervisorSpec
from callboard.supervision.elsewhere import outpost
from support.workers import Worker


@pytest.mark.parametrize(("children_s", "outpost_s"), [((), 10), ((2, 3), 10), ((10, 10, 5), 25)])
def test_an_outpost_may_take_as_long_to_start_as_its_children(children_s, outpost_s):
    children = tuple(ChildSpec(f"w{n}", Worker, start_s=s) for n, s in enumerate(children_s))
    assert outpost("there", SupervisorSpec(children)).start_s == outpost_s
