-- Puts bodies in the place of those that stand there, if they were not written meanwhile. Arguments: kind, id and revision of a document and
-- its body, again and again. Answers with how many there were.

local count = 0
for _ = 1, (#ARGV - 1) / 4 do
  local kind, id, revision, body = argument(), argument(), argument(), argument()
  local key = document(kind, id)
  if call('HGET', key, 'revision') == revision then
    call('HSET', key, 'body', body)
    count = count + 1
  end
end
return count
