"""The contract every model keeps; imports no other room."""
