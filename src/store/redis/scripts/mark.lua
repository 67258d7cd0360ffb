-- Notes what came of tries. Arguments: a token, how many tries are kept, how many marks; of each the target, the event's id, the lease, now, what
-- becomes of it (a state, or 'gone'), when it is due if it is pending, and the try as JSON, or nothing. Answers with a number for each.

local token, most, count = argument(), tonumber(argument()), tonumber(argument())

local function mark(target, event_id, lease, now, fate, due, attempt)
  local name = call('HGET', prefix .. 'sent:' .. target, event_id)
  local it = name and delivery(name)
  if not it or it.held ~= lease or tonumber(lease) <= tonumber(now) then
    return 0
  end
  if fate == 'gone' then
    drop_delivery(it)
    advance(target, it.call, now)
    return 1
  end
  local key = prefix .. 'delivery:' .. name
  if attempt ~= '' then
    call('HINCRBY', key, 'tries', 1)
    call('RPUSH', prefix .. 'attempts:' .. name, attempt)
    call('LTRIM', prefix .. 'attempts:' .. name, -most, -1)
  end
  if fate == 'pending' then
    call('HSET', key, 'due', due, 'held', '')
    set_ready(name, target, due)
  else
    leave(it)
    enter(it, fate, now)
  end
  advance(target, it.call, now)
  return 1
end

return once(token, function()
  local noted = {}
  for n = 1, count do
    noted[n] = mark(argument(), argument(), argument(), argument(), argument(), argument(), argument())
  end
  return noted
end)
