"""The only effects: thin methods over system calls, and a recorder that has the same methods and acts on nothing."""
