-- Makes deliveries. Arguments: a token, the generation, from and until which position, when, how many; of each the target, the event's id, kind,
-- call and JSON. Answers whether fanning out still stood there.

local token, generation, from, until_then, at, count =
  argument(), argument(), argument(), argument(), argument(), tonumber(argument())

local function add(target, event_id, kind, call_id, event)
  local scope = call('HGET', prefix .. 'target:' .. target, 'scope')
  if not scope or call('HEXISTS', prefix .. 'sent:' .. target, event_id) == 1 then
    return
  end
  if call_id ~= '' and kind ~= 'call.deleted' and call('EXISTS', prefix .. 'call:' .. call_id) == 0 then
    return
  end
  if kind == 'call.updated' or kind == 'call.ended' or kind == 'call.done' or kind == 'call.recovered' or kind == 'call.deleted' then
    for _, name in ipairs(call('ZRANGE', prefix .. 'updates:' .. line_of(target, call_id), 0, -1)) do
      local it = delivery(name)
      if not is_held(it.held, at) then
        drop_delivery(it)
      end
    end
  end
  local name = string.format('%016.0f', call('HINCRBY', prefix .. 'outbox', 'last', 1))
  call('HSET', prefix .. 'delivery:' .. name, 'target', target, 'event_id', event_id, 'kind', kind, 'call', call_id, 'event', event,
    'tries', 0, 'created', at)
  call('HSET', prefix .. 'sent:' .. target, event_id, name)
  call('ZADD', prefix .. 'deliveries', 0, name)
  if call_id ~= '' then
    call('ZADD', prefix .. 'deliveries:of:' .. call_id, 0, name)
  end
  enter({ name = name, target = target, kind = kind, call = call_id }, 'pending', at)
  advance(target, call_id, at)
end

return once(token, function()
  local stands = call('HMGET', prefix .. 'outbox', 'generation', 'fanned')
  if (stands[1] or '0') ~= generation or (stands[2] or '0') ~= from then
    return { 0 }
  end
  call('HSET', prefix .. 'outbox', 'fanned', until_then)
  for _ = 1, count do
    add(argument(), argument(), argument(), argument(), argument())
  end
  return { 1 }
end)
