"""Background work: reading key files, and the owner of the tasks that never end."""
