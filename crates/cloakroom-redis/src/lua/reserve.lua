-- Announces that a session is about to become a user's: from now on whoever asks for the user's sessions looks at it.
-- KEYS: the index, the announcements. ARGV: time, member, end of its life, its record, length of the announcement.
--
-- What adds to a key comes before what takes from it: a key that is empty for a moment is gone, and a node whose slot is on the way
-- to another one would not let the script go on.
local now = clock(ARGV[1])
local until_ = now + tonumber(ARGV[5])
redis.call('ZADD', KEYS[1], ARGV[3], ARGV[2])
redis.call('HSET', KEYS[2], ARGV[2], bytes(until_) .. ARGV[4])
-- Clocks of nodes may be a little apart: nothing is forgotten that may still live by another one.
local SLACK = 60000
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', '(' .. string.format('%.0f', now - SLACK))
local announced = redis.call('HGETALL', KEYS[2])
for i = 1, #announced, 2 do
  if struct.unpack('>I8', announced[i + 1]) < now then redis.call('HDEL', KEYS[2], announced[i]) end
end
local function keep(key, millis)
  if redis.call('PTTL', key) < millis then redis.call('PEXPIRE', key, millis) end
end
-- A key lives as long as the last that is in it may.
keep(KEYS[1], math.min(life(tonumber(ARGV[3]), now) + SLACK, NEVER))
keep(KEYS[2], until_ - now)
return answer('+', now)
