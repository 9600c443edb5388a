-- Changes nothing of a key, and is passed on to replicas all the same: whoever has this, has what came before.
-- KEYS: the key.
local left = redis.call('PTTL', KEYS[1])
if left > 0 then redis.call('PEXPIRE', KEYS[1], left) end
return left
