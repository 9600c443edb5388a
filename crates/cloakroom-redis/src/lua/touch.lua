-- Slides the idle deadline of a session that is alive.
-- KEYS: the session. ARGV: time, idle time.
local now = clock(ARGV[1])
local head = redis.call('GETRANGE', KEYS[1], '0', '139')
local session = alive(head, now)
if not session then return answer('-', now, head:sub(1, 2)) end
slide(session, now, ARGV[2])
local idle = bytes(session.idle)
-- The expiry first: a server that is full refuses a script whose first write could take memory, and lets one go on that has begun.
redis.call('PEXPIRE', KEYS[1], life_of(session, now))
redis.call('SETRANGE', KEYS[1], '74', bytes(session.seen) .. idle)
return answer('+', now, idle)
