"""What is shared, what could be freed, what it looks like: values for any face to render."""
