-- Commits, one after another, each as if it had come alone. Arguments: a token, how many, and each as `commit.rs` writes it.
-- Answers with a number for each: see `writer.rs`.

local DONE, DUPLICATE, CONFLICT, DELETED = 0, 1, 2, 3

local EVENT = { 'id', 'call', 'keep', 'source', 'at', 'folded', 'app', 'length', 'meta', 'told', 'note', 'body' }
local WRITE = {
  'id', 'expected', 'revision', 'version', 'created', 'updated', 'kind', 'due', 'moments', 'marks', 'search', 'record',
  'news', 'measures',
}
local ITEM = { 'at', 'sequence', 'kind', 'about' }

local function read(names)
  local values = {}
  for _, name in ipairs(names) do
    values[name] = argument()
  end
  return values
end

local function read_commit()
  local commit = { grave = argument(), cause = read(EVENT), more = {} }
  for n = 1, tonumber(argument()) do
    commit.more[n] = read(EVENT)
  end
  if argument() == '1' then
    commit.write = read(WRITE)
    commit.items = {}
    for n = 1, tonumber(argument()) do
      commit.items[n] = read(ITEM)
    end
  end
  return commit
end

local function has_record(id)
  return id ~= '' and call('EXISTS', prefix .. 'call:' .. id) == 1
end

-- The other events of the same call and source give way, unless one of them is longer; then false.
local function replaces(event)
  local place, rivals = prefix .. 'events:' .. event.call, {}
  for _, id in ipairs(call('ZRANGE', place, 0, -1)) do
    local there = call('HMGET', prefix .. 'event:' .. id, 'source', 'length')
    if there[1] == event.source then
      if tonumber(there[2]) > tonumber(event.length) then
        return false
      end
      rivals[#rivals + 1] = id
    end
  end
  for _, id in ipairs(rivals) do
    drop_event(id)
    call('ZREM', place, id)
  end
  return true
end

local function add(event)
  local key = prefix .. 'event:' .. event.id
  if event.keep == 'nothing' or call('EXISTS', key) == 1 then
    return
  end
  if event.keep == 'replacing' and event.call ~= '' and not replaces(event) then
    return
  end
  local seq = call('INCR', prefix .. 'seq')
  call('HSET', key, 'seq', seq, 'call', event.call, 'source', event.source, 'at', event.at, 'folded', event.folded, 'app', event.app,
    'length', event.length, 'meta', event.meta, 'told', event.told)
  if event.call ~= '' then
    call('ZADD', prefix .. 'events:' .. event.call, seq, event.id)
  end
  if event.body ~= '' then
    call('HSET', key, 'body', event.body)
    call('ZADD', prefix .. 'bodies', event.at, event.id)
    if event.folded == '0' then
      call('ZADD', prefix .. 'unfolded', seq, event.id)
    end
  end
  if not has_record(event.call) then
    call('ZADD', prefix .. 'stray', event.at, event.id)
  end
end

-- The event stands there since a release that could not read it; its body stays.
local function now_read(event, place)
  local key = prefix .. 'event:' .. event.id
  call('HSET', key, 'folded', '1', 'app', '', 'call', event.call, 'told', event.told)
  call('ZREM', prefix .. 'unfolded', event.id)
  if place ~= event.call then
    local seq = call('HGET', key, 'seq')
    if place ~= '' then
      call('ZREM', prefix .. 'events:' .. place, event.id)
    end
    if event.call ~= '' then
      call('ZADD', prefix .. 'events:' .. event.call, seq, event.id)
    end
  end
  if has_record(event.call) then
    call('ZREM', prefix .. 'stray', event.id)
  end
end

local function note_repeat(event, folded, app)
  if folded == '0' and app ~= event.app then
    -- No delivery: this release tried what an earlier one had stored.
    call('HSET', prefix .. 'event:' .. event.id, 'app', event.app)
  else
    call('RPUSH', prefix .. 'repeats:' .. event.id, event.note)
  end
end

local function put(write, standing)
  call('HSET', prefix .. 'call:' .. write.id, 'revision', write.revision, 'version', write.version,
    'created', write.created, 'updated', write.updated, 'kind', write.kind, 'due', write.due, 'moments', write.moments,
    'marks', write.marks, 'search', write.search, 'record', write.record, 'news', write.news,
    'measures', write.measures)
  list(write.id, standing.moments, standing.marks, write.moments, write.marks)
  -- A lease goes on as long as the due time stays.
  if standing.kind ~= write.kind or standing.due ~= write.due then
    queue(write.id, write.kind, write.due)
  end
  if standing.revision == '' then
    for _, event in ipairs(call('ZRANGE', prefix .. 'events:' .. write.id, 0, -1)) do
      call('ZREM', prefix .. 'stray', event)
    end
  end
  tell(write.id .. ' ' .. write.revision)
end

local STANDING = { 'revision', 'kind', 'due', 'moments', 'marks' }

local function standing_of(id)
  local found, standing = call('HMGET', prefix .. 'call:' .. id, unpack(STANDING)), {}
  for n, name in ipairs(STANDING) do
    standing[name] = found[n] or ''
  end
  return standing
end

local function decide(commit)
  if commit.grave ~= '' and call('ZSCORE', prefix .. 'tombstones', commit.grave) then
    return DELETED
  end
  local cause, write = commit.cause, commit.write
  local known = call('HMGET', prefix .. 'event:' .. cause.id, 'folded', 'app', 'call')
  local folded, app, place = known[1], known[2], known[3]
  if folded and (folded == '1' or cause.folded == '0') then
    note_repeat(cause, folded, app)
    return DUPLICATE
  end
  local standing = write and standing_of(write.id)
  if write and standing.revision ~= write.expected then
    return CONFLICT
  end
  if write then
    put(write, standing)
    for _, item in ipairs(commit.items) do
      log(write.id, item)
    end
  end
  if folded then
    now_read(cause, place)
  else
    add(cause)
  end
  for _, event in ipairs(commit.more) do
    add(event)
  end
  return DONE
end

local token, count = argument(), tonumber(argument())

return once(token, function()
  local outcomes = {}
  for n = 1, count do
    outcomes[n] = decide(read_commit())
  end
  return outcomes
end)
