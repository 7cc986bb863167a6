"""containerd-shim-pyrunc-v2: what containerd starts for a container or a pod, with the runtime in it (docs/shim.md).

One process with one poll loop serves containerd's Task service over ttrpc. Operations that make or change a container
run in workers (keeper/nursery.py), so that one that blocks blocks no other; what only looks is done here.
"""
