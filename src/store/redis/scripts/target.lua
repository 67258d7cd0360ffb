-- Writes a target. Arguments: a token, its id, scope, revision, the revision that must stand there or nothing, its body; and of news about no call
-- that are told with it, if there are any: when, what, about what. Answers whether it did.

local token, id, scope, revision, expected, body = argument(), argument(), argument(), argument(), argument(), argument()
local at, kind, about = argument(), argument(), argument()

return once(token, function()
  local key = prefix .. 'target:' .. id
  if (call('HGET', key, 'revision') or '') ~= expected then
    return { 0 }
  end
  call('HSET', key, 'scope', scope, 'revision', revision, 'body', body)
  if scope == '' then
    call('SADD', prefix .. 'subscriptions', id)
  else
    call('SADD', prefix .. 'callbacks', id)
    call('SADD', prefix .. 'scope:' .. scope, id)
  end
  count_change(scope)
  if at then
    log('', { at = at, sequence = 0, kind = kind, about = about })
    tell('* news')
  end
  return { 1 }
end)
