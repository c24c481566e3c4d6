"""What is measured side by side: Callboard, and the ways people do it without.

`by_hand.py`, `celery_app.py`, `dramatiq_app.py` and `aio.py` are what one would write; they know
nothing of the benchmark. `known.py` says how each is started and fed, `running.py` drives one.
"""
