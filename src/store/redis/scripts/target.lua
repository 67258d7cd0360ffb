-- Writes a target. Arguments: a token, its id, scope, revision, the revision that must stand there or nothing, its body. Answers whether it did.

local token, id, scope, revision, expected, body = argument(), argument(), argument(), argument(), argument(), argument()

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
  return { 1 }
end)
