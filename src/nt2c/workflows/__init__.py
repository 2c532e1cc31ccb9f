"""What a command does with files, without a screen."""
