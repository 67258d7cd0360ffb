-- Tells a word and how many signals there were, to find out whether signals come through. Argument: the word.

call('PUBLISH', channel, (call('GET', prefix .. 'news') or '0') .. ' ? ' .. argument())
