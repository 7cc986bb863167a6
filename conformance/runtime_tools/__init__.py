"""Run the OCI runtime-tools validation suite against any runtime, and say what came out.

    python -m conformance runtime-tools --runtime PATH [--runtime PATH ...] --runtime-tools DIR

DIR is a checkout of runtime-tools in which the executables are built already: validation/NAME/NAME.t, runtimetest and
rootfs-ARCH.tar.gz. Nothing here builds or fetches it.
"""
