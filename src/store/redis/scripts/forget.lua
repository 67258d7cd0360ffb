-- Drops the oldest entries of the log of news. Arguments: the moment before which they go, how many at most. Answers with how many went.

local before, limit = tonumber(argument()), argument()

local gone, last = 0, nil
for _, entry in ipairs(call('XRANGE', prefix .. 'log', '-', '+', 'COUNT', limit)) do
  local at = tonumber(entry[2][2])
  if at >= before then
    break
  end
  gone, last = gone + 1, entry[1]
  call('XDEL', prefix .. 'log', last)
  local own = prefix .. 'log:' .. entry[2][4]
  call('XDEL', own, last)
  if call('XLEN', own) == 0 then
    call('DEL', own)
  end
end
if last then
  call('SET', prefix .. 'gone', string.match(last, '^%d+'))
end
return gone
