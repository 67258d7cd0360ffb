-- Drops calls that are too old, with their events. Arguments: the moment as lists write it, how many at most, the fields of a call wanted.
-- Answers with the calls, oldest first: the id, then its fields.

local before, limit = argument(), argument()
local fields = {}
for n = 4, #ARGV do
  fields[#fields + 1] = ARGV[n]
end

local gone = {}
for n, member in ipairs(call('ZRANGEBYLEX', prefix .. 'by:age', '-', '(' .. before, 'LIMIT', 0, limit)) do
  local id = string.sub(member, WIDTH + 1)
  gone[n] = { id, call('HMGET', prefix .. 'call:' .. id, unpack(fields)) }
  erase(id)
  erase_deliveries(id)
  tell(id .. ' -')
end
return gone
