-- Stores a new session, unless something is under its key.
-- KEYS: the session. ARGV: time, what stands before the times, idle, absolute, renewal (or ''), what stands behind them.
local now = clock(ARGV[1])
local session = { seen = now, absolute = after(now, ARGV[4]) }
session.idle = math.min(after(now, ARGV[3]), session.absolute)
local renew = NEVER
if ARGV[5] ~= '' then renew = after(now, ARGV[5]) end
local value = ARGV[2] .. bytes(session.seen) .. bytes(session.idle) .. bytes(session.absolute) .. bytes(renew)
  .. bytes(now) .. ARGV[6]
if redis.call('SET', KEYS[1], value, 'NX', 'PX', life_of(session, now)) then return answer('+', now) end
return answer('-', now, redis.call('GET', KEYS[1]) or '')
