-- What all scripts share. KEYS[1] is what every key begins with; ARGV[1] is the channel; the other arguments are read one after another.
-- A script runs alone and whole: nothing else happens on the server meanwhile, and the append-only file takes all of it or nothing.
-- The first thing that a script writes decides whether it may write at all: after that, neither memory nor disk make the server refuse.

local call = redis.call
local prefix, channel = KEYS[1], ARGV[1]
local position = 1

local function argument()
  position = position + 1
  return ARGV[position]
end

-- Whoever asks again, because an answer was lost on its way, gets the same answer, and nothing happens twice.
-- Nobody asks again later than this.
local ANSWER_SECONDS = 15

local function once(token, work)
  local key = prefix .. 'answer:' .. token
  local answered = call('GET', key)
  if answered then
    return cjson.decode(answered)
  end
  local answer = work()
  if #answer > 0 then
    call('SET', key, cjson.encode(answer), 'EX', ANSWER_SECONDS)
  end
  return answer
end

-- Every signal has a number, so that whoever missed one knows.
local function tell(text)
  call('PUBLISH', channel, call('INCR', prefix .. 'news') .. ' ' .. text)
end

-- The log of news: a stream of all (what is about no call has an empty id), and one of each call, which goes when nothing was told for longer than the log is kept. Positions begin
-- at the microseconds since 1970: those of an earlier store are less.
local LOG_SECONDS = 8 * 24 * 3600

local function log(id, item)
  if call('EXISTS', prefix .. 'told') == 0 then
    local now = call('TIME')
    local start = now[1] .. string.format('%06d', now[2])
    call('SET', prefix .. 'told', start)
    call('SET', prefix .. 'gone', start)
  end
  local position = string.format('%.0f-0', call('INCR', prefix .. 'told'))
  for _, stream in ipairs(id == '' and { 'log' } or { 'log', 'log:' .. id }) do
    call('XADD', prefix .. stream, position, 'at', item.at, 'call', id, 'sequence', item.sequence, 'kind', item.kind, 'about', item.about)
  end
  if id ~= '' then
    call('EXPIRE', prefix .. 'log:' .. id, LOG_SECONDS)
  end
end

local function drop_log(id)
  for _, entry in ipairs(call('XRANGE', prefix .. 'log:' .. id, '-', '+')) do
    call('XDEL', prefix .. 'log', entry[1])
  end
  call('DEL', prefix .. 'log:' .. id)
end

-- Work that is due: free work by kind and time, held work by the end of its lease, and all of it by time.
local KINDS = 3

local function unqueue(id)
  for kind = 0, KINDS - 1 do
    call('ZREM', prefix .. 'due:' .. kind, id)
  end
  call('ZREM', prefix .. 'leased', id)
  call('ZREM', prefix .. 'waiting', id)
end

local function queue(id, kind, at)
  unqueue(id)
  if kind ~= '' then
    call('ZADD', prefix .. 'due:' .. kind, at, id)
    call('ZADD', prefix .. 'waiting', at, id)
  end
end

-- Lists: all members have the score 0 and are sorted by their bytes, the moment first, then the id.
local BY = { 'by:created', 'by:updated', 'by:ended', 'by:age' }
local WIDTH = 16
local NEVER = string.rep('-', WIDTH)

local function list(id, moments, marks, now_moments, now_marks)
  for n, name in ipairs(BY) do
    local from, to = (n - 1) * WIDTH + 1, n * WIDTH
    local before, now = string.sub(moments, from, to), string.sub(now_moments, from, to)
    if before ~= now then
      if before ~= '' and before ~= NEVER then
        call('ZREM', prefix .. name, before .. id)
      end
      if now ~= '' and now ~= NEVER then
        call('ZADD', prefix .. name, 0, now .. id)
      end
    end
  end
  local before, now = string.sub(moments, 1, WIDTH), string.sub(now_moments, 1, WIDTH)
  local stays = {}
  if before == now then
    for mark in string.gmatch(now_marks, '%S+') do
      stays[mark] = 1
    end
  end
  for mark in string.gmatch(marks, '%S+') do
    if stays[mark] then
      stays[mark] = 2
    else
      call('ZREM', prefix .. 'is:' .. mark, before .. id)
    end
  end
  for mark in string.gmatch(now_marks, '%S+') do
    if stays[mark] ~= 2 then
      call('ZADD', prefix .. 'is:' .. mark, 0, now .. id)
    end
  end
end

local function drop_event(id)
  call('DEL', prefix .. 'event:' .. id, prefix .. 'repeats:' .. id)
  for _, place in ipairs({ 'bodies', 'unfolded', 'stray' }) do
    call('ZREM', prefix .. place, id)
  end
end

local function drop_body(id)
  call('HDEL', prefix .. 'event:' .. id, 'body')
  call('ZREM', prefix .. 'bodies', id)
  call('ZREM', prefix .. 'unfolded', id)
end

-- Erases everything about a call; tells whether there was anything.
local function erase(id)
  local events = call('ZRANGE', prefix .. 'events:' .. id, 0, -1)
  for _, event in ipairs(events) do
    drop_event(event)
  end
  call('DEL', prefix .. 'events:' .. id)
  local standing = call('HMGET', prefix .. 'call:' .. id, 'moments', 'marks')
  if standing[1] then
    list(id, standing[1], standing[2], '', '')
    unqueue(id)
    call('DEL', prefix .. 'call:' .. id)
    drop_log(id)
  end
  return #events > 0 or standing[1]
end
