-- Erases a call for good. Arguments: a token, the call, its hash, when, whether an unknown call leaves a tombstone too.
-- Answers whether it was known.

local token, id, grave, at, always = argument(), argument(), argument(), argument(), argument()

return once(token, function()
  local news = call('HMGET', prefix .. 'call:' .. id, 'revision', 'news')
  local known = erase(id)
  erase_deliveries(id)
  if news[1] then
    local sequence = string.format('%.0f', tonumber(news[2] or '0') + 1)
    log(id, { at = at, sequence = sequence, kind = 'call.deleted', about = '' })
  end
  if known or always == '1' then
    call('ZADD', prefix .. 'tombstones', 'NX', at, grave)
  end
  tell(id .. ' -')
  return { known and 1 or 0 }
end)
