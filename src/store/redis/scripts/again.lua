-- Makes deliveries pending again. Arguments: a token, the target, now, and either 'events' and their ids, or a state, since when they were made,
-- behind which name and how many at most are looked at. Answers with how many, and the last name that was looked at, or nothing.

local token, target, now, which = argument(), argument(), argument(), argument()

local function again(name)
  local it = delivery(name)
  if not it or it.state == 'pending' then
    return 0
  end
  leave(it)
  call('HSET', prefix .. 'delivery:' .. name, 'tries', 0)
  enter(it, 'pending', now)
  advance(target, it.call, now)
  return 1
end

return once(token, function()
  local count, last = 0, ''
  if which == 'events' then
    for n = position + 1, #ARGV do
      local name = call('HGET', prefix .. 'sent:' .. target, ARGV[n])
      count = count + (name and again(name) or 0)
    end
    return { count, last }
  end
  local since, after, limit = tonumber(argument()), argument(), argument()
  local from = after == '' and '-' or '(' .. after
  for _, name in ipairs(call('ZRANGEBYLEX', prefix .. 'deliveries:' .. which .. ':' .. target, from, '+', 'LIMIT', 0, limit)) do
    last = name
    if tonumber(call('HGET', prefix .. 'delivery:' .. name, 'created')) >= since then
      count = count + again(name)
    end
  end
  return { count, last }
end)
