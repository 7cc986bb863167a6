"""linux.seccomp: from a profile in config.json to the program that the kernel runs at every system call.

    profile.py   what the profile says, checked and in the kernel's numbers; no library needed
    cache.py     programs compiled before, by profile
    compile.py   the program, by libseccomp: the only place that loads it
    library.py   what libseccomp is here, without loading it where that can be known
    enosys.py    what goes before that program, so that newer calls than the profile knows are "not implemented"
"""
