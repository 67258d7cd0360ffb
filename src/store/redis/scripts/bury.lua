-- Takes tombstones. Arguments: the key of their hashes, and hash and time, again and again. Another key than ours is only taken as long as there
-- is nothing else. Answers whether they were taken.

local grave_key = argument()

if call('HGET', prefix .. 'meta', 'tombstone_key') ~= grave_key then
  for _, place in ipairs({ 'by:created', 'stray', 'tombstones' }) do
    if call('EXISTS', prefix .. place) == 1 then
      return 0
    end
  end
  call('HSET', prefix .. 'meta', 'tombstone_key', grave_key)
end
for _ = 1, (#ARGV - 2) / 2 do
  local hash, at = argument(), argument()
  call('ZADD', prefix .. 'tombstones', 'NX', at, hash)
end
return 1
