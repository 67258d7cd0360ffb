-- Erases a call for good. Arguments: a token, the call, its hash, when, whether an unknown call leaves a tombstone too.
-- Answers whether it was known.

local token, id, grave, at, always = argument(), argument(), argument(), argument(), argument()

return once(token, function()
  local known = erase(id)
  if known or always == '1' then
    call('ZADD', prefix .. 'tombstones', 'NX', at, grave)
  end
  tell(id .. ' -')
  return { known and 1 or 0 }
end)
