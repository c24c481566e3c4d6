"""Expressions in JMESPath that hooks bring along: parsed with their mistakes, and run with bounds.

JMESPath has no loops, no recursion and no names to assign to; the parser is the library's.
"""
