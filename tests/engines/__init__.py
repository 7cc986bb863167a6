"""Real engines calling the runtime, in the guest: each scenario runs under Debian's runc and under pyrunc."""
