"""What each verb does: one function each, `(arguments, screen) -> exit status`, loaded when it is typed."""
