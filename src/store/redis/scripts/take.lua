-- Takes deliveries that are ready and holds them. Arguments: a token, now, until when, how many at most, of one target how many, and the targets
-- that are passed over. Answers with when there will be more, or nothing, and the names of what was taken, the longest overdue first.

-- Targets that are looked at in one go.
local CHUNK = 100

local token, now, until_then, limit, per_target = argument(), argument(), argument(), tonumber(argument()), argument()
local except = {}
for n = position + 1, #ARGV do
  except[ARGV[n]] = true
end

-- Targets in the order in which they are ready, up to a moment, without those passed over; at most `most`.
local function targets(most, moment)
  local found, offset = {}, 0
  while #found < most do
    local some = call('ZRANGEBYSCORE', prefix .. 'ready', '-inf', moment, 'WITHSCORES', 'LIMIT', offset, CHUNK)
    for n = 1, #some, 2 do
      if not except[some[n]] and #found < most then
        found[#found + 1] = { some[n], some[n + 1] }
      end
    end
    if #some < 2 * CHUNK then
      break
    end
    offset = offset + CHUNK
  end
  return found
end

return once(token, function()
  local ready = {}
  for _, target in ipairs(targets(limit, now)) do
    local some = call('ZRANGEBYSCORE', prefix .. 'ready:' .. target[1], '-inf', now, 'WITHSCORES', 'LIMIT', 0, per_target)
    for n = 1, #some, 2 do
      ready[#ready + 1] = { name = some[n], at = tonumber(some[n + 1]), target = target[1] }
    end
  end
  table.sort(ready, function(a, b)
    if a.at ~= b.at then
      return a.at < b.at
    end
    return a.name < b.name
  end)
  local taken = { '' }
  for n = 1, math.min(limit, #ready) do
    local it = ready[n]
    call('HSET', prefix .. 'delivery:' .. it.name, 'held', until_then)
    set_ready(it.name, it.target, until_then)
    taken[#taken + 1] = it.name
  end
  local first = targets(1, '+inf')[1]
  if first then
    taken[1] = first[2]
  end
  return taken
end)
