-- Drops the oldest bodies. Arguments: up to which moment, how many at most. Answers with how many.

local before, limit = argument(), argument()

local events = call('ZRANGEBYSCORE', prefix .. 'bodies', '-inf', before, 'LIMIT', 0, limit)
for _, id in ipairs(events) do
  drop_body(id)
end
return #events
