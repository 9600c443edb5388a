-- Extends a lease that is still held.
-- KEYS: the session. ARGV: time, owner, length of the lease.
local now = clock(ARGV[1])
local head = redis.call('GETRANGE', KEYS[1], '0', '139')
local session = alive(head, now)
if not session or not session.held or head:sub(3, 18) ~= ARGV[2] then return answer('-', now, head:sub(1, 2)) end
local until_ = bytes(after(now, ARGV[3]))
redis.call('SETRANGE', KEYS[1], '26', until_)
return answer('+', now, until_)
