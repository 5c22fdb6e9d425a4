"""Export of trained SAEs to other libraries' formats."""
