-- Drops a target, in steps. Arguments: a token, its id, how many deliveries at most. While there are more, only they go. Answers with how many
-- went, and with whether the target was there, once it is gone.

local token, id, limit = argument(), argument(), tonumber(argument())

return once(token, function()
  local count = drop_deliveries(id, limit)
  if count == limit then
    return { count, 0 }
  end
  return { count, drop_target(id) and 1 or 0 }
end)
