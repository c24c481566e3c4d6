"""The outside world behind small protocols: broker, document store, HTTP, keys, files.

Each room is a folder that holds a protocol and what implements it, and knows of the domain alone.
Import from the files: the rooms export nothing themselves, since each implementation imports a
library that not every process needs. Only `receiver` has a face, for tests of others. `listener`,
`misbehaviour` and `sealed_transport` are former names, for programs that import them.
"""
