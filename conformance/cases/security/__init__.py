"""Published holes of runtimes, tried: the profile `security`. Each probe says whose hole it was."""
