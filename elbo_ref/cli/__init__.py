"""The commands: their options, and their manners at a terminal."""
