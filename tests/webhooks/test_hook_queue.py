"""The items of one hook, and the time that its rate has used up."""

from callboard.webhooks.dispatch.hook_queue import HookQueue


def run(queue, now):
    queue.put("k", "item")
    queue.take(now)
    queue.end()


def test_a_hook_with_a_rate_is_idle_when_its_items_are_paid_for():
    queue = HookQueue("h")
    queue.set_options(False, 2.0)
    run(queue, 10.0)
    assert (queue.sweep_at(), queue.is_idle(10.4), queue.is_idle(10.5)) == (10.5, False, True)


def test_a_rate_that_is_raised_gives_back_the_time_that_the_slow_one_used_up():
    queue = HookQueue("h")
    queue.set_options(False, 0.5)
    run(queue, 10.0)
    queue.put("k", "item")
    assert queue.runs_at() == 12.0
    queue.set_options(False, 2.0)
    assert queue.runs_at() == 10.5
    queue.set_options(False, 1.0)  # One that is lowered takes none.
    assert queue.runs_at() == 10.5


def test_a_rate_that_was_lifted_is_forgotten():
    queue = HookQueue("h")
    queue.set_options(False, 0.5)
    run(queue, 10.0)
    queue.set_options(False, None)
    assert queue.is_idle(10.0)
    queue.set_options(False, 2.0)
    queue.put("k", "item")
    assert queue.runs_at() < 10.0
