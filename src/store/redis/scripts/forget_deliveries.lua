-- Drops deliveries that were settled before a moment, the oldest first. Arguments: the moment, how many at most. Answers with how many went.

local before, limit = argument(), argument()

local old = call('ZRANGEBYSCORE', prefix .. 'settled', '-inf', '(' .. before, 'LIMIT', 0, limit)
for _, name in ipairs(old) do
  drop_delivery(delivery(name))
end
return #old
