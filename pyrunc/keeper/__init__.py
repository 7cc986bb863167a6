"""A small, warm process of one thread that runs plans in processes of their own, adopts what they make, and reaps it.

A program with threads, signal handlers and descriptors of its own cannot clone a container's init: clone3(2) of a
process with threads deadlocks, a plan changes directories, namespaces and descriptors, and the init would have that
program's image open (CVE-2019-5736). So the library starts the launcher as its keeper, once, and sends it operations.
"""
