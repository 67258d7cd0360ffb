-- Writes documents together, or none of them. Arguments: a token, now, how many, and of each what WRITE names; what it has not is empty.
-- Answers with 1 when they were written.

local WRITE = { 'kind', 'id', 'expected', 'revision', 'alias', 'due', 'created', 'moment', 'expires', 'body' }

local token, now = argument(), argument()
local writes, written = {}, {}
for n = 1, tonumber(argument()) do
  writes[n] = {}
  for _, name in ipairs(WRITE) do
    writes[n][name] = argument()
  end
  written[document(writes[n].kind, writes[n].id)] = true
end

-- The revision of a document, empty when there is none or its time is over.
local function standing(kind, id)
  local there = call('HMGET', document(kind, id), 'revision', 'expires')
  return there[1] and not is_over(there[2], now) and there[1] or ''
end

local function may_be_written(it)
  if standing(it.kind, it.id) ~= it.expected then
    return false
  end
  local holder = it.alias ~= '' and call('HGET', place(it.kind, 'aliases'), it.alias)
  return not holder or written[document(it.kind, holder)] or standing(it.kind, holder) == ''
end

return once(token, function()
  for _, it in ipairs(writes) do
    if not may_be_written(it) then
      return { 0 }
    end
  end
  -- A server without room refuses this one, before anything is changed.
  call('SET', prefix .. 'answer:' .. token, '[1]', 'EX', ANSWER_SECONDS)
  for _, it in ipairs(writes) do
    drop_document(it.kind, it.id)
  end
  for _, it in ipairs(writes) do
    call('HSET', document(it.kind, it.id), 'revision', it.revision, 'alias', it.alias, 'due', it.due, 'created', it.created,
      'moment', it.moment, 'expires', it.expires, 'body', it.body)
    call('ZADD', place(it.kind, 'all'), 0, it.moment .. it.id)
    if it.due ~= '' then
      call('ZADD', place(it.kind, 'due'), it.due, it.id)
    end
    if it.expires ~= '' then
      call('ZADD', prefix .. 'docs:ends', it.expires, it.kind .. ':' .. it.id)
    end
    if it.alias ~= '' then
      call('HSET', place(it.kind, 'aliases'), it.alias, it.id)
    end
  end
  return { 1 }
end)
