"""What people see of the gateway: the record of a request, JSON logs, metrics."""
