"""What runs without being asked: key files, write-behind of statuses, and the owner of both tasks."""
