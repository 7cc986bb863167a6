"""A container is an object: the classes that `import pyrunc` gives (docs/library.md)."""
