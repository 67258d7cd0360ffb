-- Writes a note, if another one stands there still. Arguments: its name, the one that stands there or nothing, the new one.
-- Answers whether it did; also when the new one stands there already, for who asks again.

local name, from, to = argument(), argument(), argument()

local there = call('HGET', prefix .. 'meta', name) or ''
if there == from then
  call('HSET', prefix .. 'meta', name, to)
end
return (there == from or there == to) and 1 or 0
