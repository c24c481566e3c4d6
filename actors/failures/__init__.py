"""Failed attempts, and the end of hooks that keep failing.

`FailureCache` remembers the failures of all nodes; `Disabler` disables the hooks with too many.
"""
