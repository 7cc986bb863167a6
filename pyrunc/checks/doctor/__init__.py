"""What this host offers to containers, and what each missing thing costs."""
