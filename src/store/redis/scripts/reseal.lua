-- Puts bodies in the place of those that stand there. Arguments: the event and its body, again and again. Answers with how many there were.

local count = 0
for _ = 1, (#ARGV - 1) / 2 do
  local id, body = argument(), argument()
  local key = prefix .. 'event:' .. id
  if call('HEXISTS', key, 'body') == 1 then
    call('HSET', key, 'body', body)
    count = count + 1
  end
end
return count
