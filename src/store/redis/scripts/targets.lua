-- Targets. Argument: the call or placing, or nothing for subscriptions. Answers with the generation, and id, scope, revision, body of each.

local scope = argument()

local answer = { call('HGET', prefix .. 'outbox', 'generation') or '0' }
for _, id in ipairs(call('SMEMBERS', prefix .. (scope == '' and 'subscriptions' or 'scope:' .. scope))) do
  local found = call('HMGET', prefix .. 'target:' .. id, 'scope', 'revision', 'body')
  for _, value in ipairs({ id, found[1], found[2], found[3] }) do
    answer[#answer + 1] = value
  end
end
return answer
