-- Replaces a version of a session.
-- KEYS: the session. ARGV: time, operation, version that is replaced, next counter, owner of the lease (or ''), hold,
-- '1' to give the lease back, epoch and checksum, idle time to slide by (or ''), channel, payload.
local now = clock(ARGV[1])
local op, version, counter, owner, hold, release = ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6], ARGV[7] == '1'
local head = redis.call('GETRANGE', KEYS[1], 0, 139)
local session = alive(head, now)

local function refused()
  return answer('-', now, redis.call('GET', KEYS[1]) or '')
end

if not session then return refused() end
for at = 43, 67, 8 do
  if head:sub(at, at + 7) == op then return refused() end
end
local lease = NO_LEASE
if session.held then
  if head:sub(3, 18) ~= owner then return refused() end
  -- Eight bytes, more than a double holds: in two halves.
  local high, low = struct.unpack('>I4I4', head, 19)
  local shown_high, shown_low = struct.unpack('>I4I4', hold)
  if shown_high < high or (shown_high == high and shown_low < low) then return refused() end
  if not release then lease = owner .. hold .. head:sub(27, 34) end
elseif owner ~= '' then
  return refused()
end
if head:sub(35, 50) ~= version then return refused() end

if ARGV[9] ~= '' then slide(session, now, ARGV[9]) end
local length = struct.unpack('>I2', head, 139)
local identity = ''
if length > 0 then identity = redis.call('GETRANGE', KEYS[1], 140, 139 + length) end
local around = head:sub(1, 2) .. lease .. counter .. op .. head:sub(43, 66) .. bytes(session.seen)
  .. bytes(session.idle) .. head:sub(91, 130) .. ARGV[8] .. head:sub(139, 140) .. identity
redis.call('SET', KEYS[1], around .. ARGV[11], 'PX', life_of(session, now))
if session.held and release then tell(ARGV[10]) end
return answer('+', now, around)
