"""Pages and messages in the language of their reader. English is the language of the code, and of
what is stored; every further one is a file in `locales`."""
