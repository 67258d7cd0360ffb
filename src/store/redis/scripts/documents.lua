-- What the scripts about documents share.

local function document(kind, id)
  return prefix .. 'doc:' .. kind .. ':' .. id
end

local function place(kind, name)
  return prefix .. 'docs:' .. name .. ':' .. kind
end

local function is_over(expires, now)
  return expires ~= '' and tonumber(expires) <= tonumber(now)
end

-- Drops a document; tells whether it was there.
local function drop_document(kind, id)
  local key = document(kind, id)
  local there = call('HMGET', key, 'moment', 'alias')
  if not there[1] then
    return false
  end
  call('ZREM', place(kind, 'all'), there[1] .. id)
  call('ZREM', place(kind, 'due'), id)
  call('ZREM', place(kind, 'leased'), id)
  call('ZREM', prefix .. 'docs:ends', kind .. ':' .. id)
  if call('HGET', place(kind, 'aliases'), there[2]) == id then
    call('HDEL', place(kind, 'aliases'), there[2])
  end
  call('DEL', key)
  return true
end
