-- Puts bodies of targets in the place of those that stand there. Arguments: id, revision, body, again and again. Answers with how many there were.

local count = 0
for _ = 1, (#ARGV - 1) / 3 do
  local id, revision, body = argument(), argument(), argument()
  local key = prefix .. 'target:' .. id
  if call('HGET', key, 'revision') == revision then
    call('HSET', key, 'body', body)
    count = count + 1
  end
end
return count
