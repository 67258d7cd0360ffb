-- Signals that something was written that is no call. Argument: the signal's text.

tell(argument())
return 1
