-- Gives up pending deliveries that nobody holds, the oldest first. Arguments: a token, the target, the moment before which they were made, now,
-- why, as a try in JSON, how many tries are kept, how many at most. Answers with how many.

local token, target, before, now, note, most, limit =
  argument(), argument(), tonumber(argument()), argument(), argument(), tonumber(argument()), tonumber(argument())

-- Names that are looked at in one go.
local CHUNK = 100

local function give_up(it)
  leave(it)
  local attempts = prefix .. 'attempts:' .. it.name
  call('RPUSH', attempts, note)
  call('LTRIM', attempts, -most, -1)
  enter(it, 'dead', now)
  advance(target, it.call, now)
end

return once(token, function()
  local count, after = 0, '-'
  while count < limit do
    local names = call('ZRANGEBYLEX', prefix .. 'deliveries:pending:' .. target, after, '+', 'LIMIT', 0, CHUNK)
    for _, name in ipairs(names) do
      after = '(' .. name
      -- They stand in the order in which they were made.
      if tonumber(call('HGET', prefix .. 'delivery:' .. name, 'created')) >= before then
        return { count }
      end
      local it = delivery(name)
      if count < limit and not is_held(it.held, now) then
        give_up(it)
        count = count + 1
      end
    end
    if #names < CHUNK then
      break
    end
  end
  return { count }
end)
