-- What scripts about targets and deliveries share. A delivery's name is its number in the order in which they were made, with zeros in front.

local function line_of(target, call_id)
  return target .. ' ' .. call_id
end

local function delivery(name)
  local found = call('HMGET', prefix .. 'delivery:' .. name, 'target', 'event_id', 'kind', 'call', 'state', 'held')
  if not found[1] then
    return nil
  end
  return { name = name, target = found[1], event_id = found[2], kind = found[3], call = found[4], state = found[5], held = found[6] }
end

-- When a delivery can be leased, or '' when it can't; and so when the first of its target can be.
local function set_ready(name, target, at)
  local own = prefix .. 'ready:' .. target
  if at == '' then
    call('ZREM', own, name)
  else
    call('ZADD', own, at, name)
  end
  local first = call('ZRANGE', own, 0, 0, 'WITHSCORES')
  if first[1] then
    call('ZADD', prefix .. 'ready', first[2], target)
  else
    call('ZREM', prefix .. 'ready', target)
  end
end

local function is_held(held, now)
  return held and held ~= '' and tonumber(held) > tonumber(now)
end

-- Gives the turn to the oldest of the deliveries of a call to a target, unless it is held by another.
local function advance(target, call_id, now)
  if call_id == '' then
    return
  end
  local place = line_of(target, call_id)
  local oldest = call('ZRANGE', prefix .. 'line:' .. place, 0, 0)[1]
  local turn = call('HGET', prefix .. 'turns', place)
  if not oldest or turn == oldest then
    return
  end
  if turn then
    if is_held(call('HGET', prefix .. 'delivery:' .. turn, 'held'), now) then
      return
    end
    call('HSET', prefix .. 'delivery:' .. turn, 'due', '', 'held', '')
    set_ready(turn, target, '')
  end
  call('HSET', prefix .. 'delivery:' .. oldest, 'due', now)
  call('HSET', prefix .. 'turns', place, oldest)
  set_ready(oldest, target, now)
end

-- Takes a delivery out of everything that its state put it into.
local function leave(it)
  call('ZREM', prefix .. 'deliveries:' .. it.state .. ':' .. it.target, it.name)
  call('HINCRBY', prefix .. 'outbox', it.state, -1)
  if it.state ~= 'pending' then
    call('ZREM', prefix .. 'settled', it.name)
    return
  end
  set_ready(it.name, it.target, '')
  if it.call ~= '' then
    local place = line_of(it.target, it.call)
    call('ZREM', prefix .. 'line:' .. place, it.name)
    if it.kind == 'call.updated' then
      call('ZREM', prefix .. 'updates:' .. place, it.name)
    end
    if call('HGET', prefix .. 'turns', place) == it.name then
      call('HDEL', prefix .. 'turns', place)
    end
  end
end

-- The opposite. Pending about a call, it waits for its turn.
local function enter(it, state, at)
  local key = prefix .. 'delivery:' .. it.name
  it.state = state
  call('ZADD', prefix .. 'deliveries:' .. state .. ':' .. it.target, 0, it.name)
  call('HINCRBY', prefix .. 'outbox', state, 1)
  if state ~= 'pending' then
    call('HSET', key, 'state', state, 'due', '', 'held', '', 'settled', at)
    call('ZADD', prefix .. 'settled', at, it.name)
    return
  end
  call('HSET', key, 'state', state, 'due', it.call == '' and at or '', 'held', '', 'settled', '')
  if it.call == '' then
    set_ready(it.name, it.target, at)
    return
  end
  local place = line_of(it.target, it.call)
  call('ZADD', prefix .. 'line:' .. place, 0, it.name)
  if it.kind == 'call.updated' then
    call('ZADD', prefix .. 'updates:' .. place, 0, it.name)
  end
end

local function drop_delivery(it)
  leave(it)
  call('DEL', prefix .. 'delivery:' .. it.name, prefix .. 'attempts:' .. it.name)
  call('ZREM', prefix .. 'deliveries', it.name)
  call('HDEL', prefix .. 'sent:' .. it.target, it.event_id)
  if it.call ~= '' then
    call('ZREM', prefix .. 'deliveries:of:' .. it.call, it.name)
  end
end

-- Drops at most `limit` deliveries of a target, of the pending ones the newest first, so that those left keep their turns.
local function drop_deliveries(target, limit)
  local count = 0
  for _, state in ipairs({ 'delivered', 'dead', 'pending' }) do
    if count < limit then
      for _, name in ipairs(call('ZREVRANGE', prefix .. 'deliveries:' .. state .. ':' .. target, 0, limit - count - 1)) do
        drop_delivery(delivery(name))
        count = count + 1
      end
    end
  end
  return count
end

local function count_change(scope)
  if scope == '' then
    call('HINCRBY', prefix .. 'outbox', 'generation', 1)
  end
end

-- Drops a target; tells whether it was there.
local function drop_target(id)
  local scope = call('HGET', prefix .. 'target:' .. id, 'scope')
  if not scope then
    return false
  end
  drop_deliveries(id, 1000000000)
  call('DEL', prefix .. 'target:' .. id)
  call('SREM', prefix .. 'subscriptions', id)
  call('SREM', prefix .. 'callbacks', id)
  call('SREM', prefix .. 'scope:' .. scope, id)
  count_change(scope)
  return true
end

-- Drops what is on its way of a call that is gone, but for the news of that, and whoever waits for it.
local function erase_deliveries(id)
  for _, target in ipairs(call('SMEMBERS', prefix .. 'scope:' .. id)) do
    drop_target(target)
  end
  for _, name in ipairs(call('ZRANGE', prefix .. 'deliveries:of:' .. id, 0, -1)) do
    local it = delivery(name)
    if it.kind ~= 'call.deleted' then
      drop_delivery(it)
    end
  end
  for _, name in ipairs(call('ZRANGE', prefix .. 'deliveries:of:' .. id, 0, -1)) do
    local made = call('HMGET', prefix .. 'delivery:' .. name, 'target', 'created')
    advance(made[1], id, made[2])
  end
end
