"""What is worth an alert: a module each, which gathers the facts that its templates put into words."""
