-- Takes work that is due and holds it. Arguments: a token, now, until when it is held, how much at most. Answers with the calls.

-- More leases that ended than this wait for the next time: after a crash there may be many.
local MOST_ENDED = 1000

local token, now, until_then, limit = argument(), argument(), argument(), tonumber(argument())

return once(token, function()
  for _, id in ipairs(call('ZRANGEBYSCORE', prefix .. 'leased', '-inf', now, 'LIMIT', 0, MOST_ENDED)) do
    local due = call('HMGET', prefix .. 'call:' .. id, 'kind', 'due')
    call('ZREM', prefix .. 'leased', id)
    if due[1] and due[1] ~= '' then
      call('ZADD', prefix .. 'due:' .. due[1], due[2], id)
    end
  end
  local taken = {}
  for kind = 0, KINDS - 1 do
    local ready = call('ZRANGEBYSCORE', prefix .. 'due:' .. kind, '-inf', now, 'LIMIT', 0, limit - #taken)
    for _, id in ipairs(ready) do
      call('ZREM', prefix .. 'due:' .. kind, id)
      call('ZADD', prefix .. 'leased', until_then, id)
      taken[#taken + 1] = id
    end
  end
  return taken
end)
