"""The `pyrunc` program: what it is made of, what it lets in, how it is sealed, how it is installed, what it imports."""
