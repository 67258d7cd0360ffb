-- Drops tombstones and events without a record. Arguments: the moment before which they go, how many at most. Answers with how many of each.

local before, limit = '(' .. argument(), argument()

local events = call('ZRANGEBYSCORE', prefix .. 'stray', '-inf', before, 'LIMIT', 0, limit)
for _, id in ipairs(events) do
  local place = call('HGET', prefix .. 'event:' .. id, 'call')
  if place and place ~= '' then
    call('ZREM', prefix .. 'events:' .. place, id)
  end
  drop_event(id)
end
local graves = call('ZRANGEBYSCORE', prefix .. 'tombstones', '-inf', before, 'LIMIT', 0, limit)
for _, grave in ipairs(graves) do
  call('ZREM', prefix .. 'tombstones', grave)
end
return math.max(#events, #graves)
