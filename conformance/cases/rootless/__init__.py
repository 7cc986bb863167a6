"""An ordinary user: the profile `rootless`. As root the suite becomes one; who is none already runs it as such."""
