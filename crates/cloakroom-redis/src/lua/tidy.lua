-- Takes members out of a user's index, and announcements that have come true.
-- KEYS: the index, in a cluster the announcements. ARGV: time, then pairs of a sign and a member:
--   '+'  it is a session now: it need not be announced any more
--   '-'  it was one, and has come to an end
--   '?'  it was seen not to be one: unless it is announced
local now = clock(ARGV[1])
for i = 2, #ARGV, 2 do
  local sign, member = ARGV[i], ARGV[i + 1]
  if sign == '?' and not KEYS[2] then
    sign = '-'
  elseif sign == '?' then
    local announced = redis.call('HGET', KEYS[2], member)
    if not announced or struct.unpack('>I8', announced) < now then sign = '-' end
  end
  if sign == '-' then redis.call('ZREM', KEYS[1], member) end
  if sign ~= '?' and KEYS[2] then redis.call('HDEL', KEYS[2], member) end
end
return answer('+', now)
