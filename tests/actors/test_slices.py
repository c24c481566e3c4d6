import time

from callboard.actors.base.slices import Page, SlicedJob
from callboard.adapters.repositories.maintenance import Step
from callboard.admin import AccountHooks


def page(**options):
    return Page(iter(()), lambda *_: None, **options)


def test_a_page_goes_on_until_a_step_ends_it():
    work = page()
    assert not work.take(Step(("x",), after=("x",)))
    assert work.take(Step(("y",), after=("y",), page_ends=True))
    assert (work.found, work.after) == (["x", "y"], ("y",))


def test_a_page_ends_when_it_names_so_many_things():
    """1000: accounts and their hooks."""
    work = page()
    hooks = tuple(f"h{number}" for number in range(998))
    assert not work.take(Step((AccountHooks("a", 2000, hooks),), after=("a", "h997")))
    assert work.take(Step((AccountHooks("b"),), after=("b", "")))


def test_a_page_ends_after_a_while():
    assert page(ends_at=time.monotonic()).take(Step((), after=("x",)))


def test_no_page_ends_where_nobody_could_go_on():
    assert not page(ends_at=time.monotonic()).take(Step(("x",)))


def test_an_errand_remembers_only_its_first_failures():
    job = SlicedJob(iter(()), lambda *_: None)
    for number in range(30):
        steps = (AccountHooks("fine", 1, ("h",)), AccountHooks(str(number), problem="away"))
        assert not job.take(Step(steps, after=("x", "")))
    assert [account.account_id for account in job.found] == [str(n) for n in range(10)]


def test_a_page_ends_after_two_seconds(monkeypatch):
    began, passed = time.monotonic(), 0.0
    monkeypatch.setattr(time, "monotonic", lambda: began + passed)
    work = page()
    for passed, ends in ((1.9, False), (2.0, True)):  # noqa: B007 - the clock reads it
        assert work.take(Step((), after=("x",))) is ends
