-- Gives a lease back.
-- KEYS: the session. ARGV: time, owner, channel.
local now = clock(ARGV[1])
local head = redis.call('GETRANGE', KEYS[1], '0', '139')
local session = alive(head, now)
if not session or not session.held or head:sub(3, 18) ~= ARGV[2] then return answer('-', now, head:sub(1, 2)) end
redis.call('SETRANGE', KEYS[1], '2', NO_LEASE)
tell(ARGV[3])
return answer('+', now)
