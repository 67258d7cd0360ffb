-- Notes how often processes saw something in an hour. Arguments: how many, and of each hour, source and name, and the count.
-- A number only grows: a note that comes late, or twice, changes nothing.

for _ = 1, tonumber(argument()) do
  local hour, place, count = argument(), argument(), argument()
  local key = prefix .. 'tally:' .. hour
  if tonumber(call('HGET', key, place) or '0') < tonumber(count) then
    call('HSET', key, place, count)
    call('ZADD', prefix .. 'tallies', hour, hour)
  end
end
return 1
