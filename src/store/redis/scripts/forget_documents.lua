-- Drops documents whose time is over. Arguments: now, how many at most. Answers with how many went.

local now, limit = argument(), argument()

local over = call('ZRANGEBYSCORE', prefix .. 'docs:ends', '-inf', now, 'LIMIT', 0, limit)
for _, name in ipairs(over) do
  local kind, id = string.match(name, '^([^:]*):(.*)$')
  drop_document(kind, id)
end
return #over
