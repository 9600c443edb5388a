-- Takes the lease of a session, and reads it.
-- KEYS: the session. ARGV: time, owner, length of the lease.
local now = clock(ARGV[1])
local head = redis.call('GETRANGE', KEYS[1], '0', '139')
local session = alive(head, now)
if not session or (session.held and head:sub(3, 18) ~= ARGV[2]) then
  return answer('-', now, redis.call('GET', KEYS[1]) or '')
end
local hold = string.rep('\0', 8)
if session.held then hold = head:sub(19, 26) end
redis.call('SETRANGE', KEYS[1], '2', ARGV[2] .. hold .. bytes(after(now, ARGV[3])))
return answer('+', now, redis.call('GET', KEYS[1]))
