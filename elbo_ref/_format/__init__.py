"""Results as text: numbers, tables, JSON documents."""
