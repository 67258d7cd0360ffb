-- Changes when a call is due, and ends its lease. Arguments: the call, the kind of work or nothing, when.

local id, kind, at = argument(), argument(), argument()

if call('EXISTS', prefix .. 'call:' .. id) == 1 then
  call('HSET', prefix .. 'call:' .. id, 'kind', kind, 'due', at)
  queue(id, kind, at)
end
