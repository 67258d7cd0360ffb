-- Takes documents that are due and holds them. Arguments: a token, the kind, now, until when they are held, how many at most, the fields
-- wanted. Answers with the documents, the longest overdue first: the id, then its fields.

-- More leases that ended than this wait for the next time: after a crash there may be many.
local MOST_ENDED = 1000

local token, kind, now, until_then, limit = argument(), argument(), argument(), argument(), tonumber(argument())
local fields = {}
for n = 7, #ARGV do
  fields[#fields + 1] = ARGV[n]
end
local due, leased = place(kind, 'due'), place(kind, 'leased')

local taken = once(token, function()
  for _, id in ipairs(call('ZRANGEBYSCORE', leased, '-inf', now, 'LIMIT', 0, MOST_ENDED)) do
    call('ZADD', due, call('HGET', document(kind, id), 'due'), id)
    call('ZREM', leased, id)
  end
  local taken = {}
  while #taken < limit do
    local ready = call('ZRANGEBYSCORE', due, '-inf', now, 'LIMIT', 0, limit - #taken)
    if #ready == 0 then
      break
    end
    for _, id in ipairs(ready) do
      -- What is over would be due for ever.
      if not is_over(call('HGET', document(kind, id), 'expires'), now) then
        call('ZADD', leased, until_then, id)
        taken[#taken + 1] = id
      end
      call('ZREM', due, id)
    end
  end
  return taken
end)

-- Asked again, some of them may have been written in between: then they are not held any more.
local held = {}
for _, id in ipairs(taken) do
  local score = call('ZSCORE', leased, id)
  if score and tonumber(score) == tonumber(until_then) then
    held[#held + 1] = { id, call('HMGET', document(kind, id), unpack(fields)) }
  end
end
return held
