"""Failed attempts, and the disabling of hooks with too many of them.

`FailureCache` remembers the failures of all nodes; `Disabler` disables hooks.
"""
