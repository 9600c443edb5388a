-- Replaces a version of a session.
-- KEYS: the session. ARGV: time, what is compared and written as it is, idle time to slide by (or ''), how long ago it must have been
-- seen for that, channel (to give the lease back, else ''), payload.
--
-- As compared and written: next counter (8), operation (8), version that is replaced (16), epoch and checksum (8), then
-- under a lease owner (16) and hold (8).
--
-- The way of nearly every write, so it makes few strings.
local now = clock(ARGV[1])
local fixed, channel = ARGV[2], ARGV[5]
local head = redis.call('GETRANGE', KEYS[1], '0', '139')
local session = alive(head, now)

local function refused()
  return answer('-', now, redis.call('GET', KEYS[1]) or '')
end

if not session then return refused() end
local op = fixed:sub(9, 16)
-- Anywhere behind there: looked at closely only where it is.
if head:find(op, 43, true) then
  for at = 43, 67, 8 do
    if head:sub(at, at + 7) == op then return refused() end
  end
end
local lease, shown = NO_LEASE, fixed:sub(41)
if session.held then
  if head:sub(3, 18) ~= shown:sub(1, 16) then return refused() end
  -- Eight bytes, more than a double holds: in two halves.
  local high, low = struct.unpack('>I4I4', head, 19)
  local shown_high, shown_low = struct.unpack('>I4I4', shown, 17)
  if shown_high < high or (shown_high == high and shown_low < low) then return refused() end
  if channel == '' then lease = shown .. head:sub(27, 34) end
elseif shown ~= '' then
  return refused()
end
if head:sub(35, 50) ~= fixed:sub(17, 32) then return refused() end

-- Where nothing slides the times stay as they are, and the key has its expiry already.
local times = head:sub(75, 130)
local slides = ARGV[3] ~= '' and math.max(now - session.seen, 0) >= tonumber(ARGV[4])
if slides then
  slide(session, now, ARGV[3])
  times = struct.pack('>I8I8', session.seen, session.idle) .. head:sub(91, 130)
end
local length = struct.unpack('>I2', head, 139)
local identity = ''
if length > 0 then identity = redis.call('GETRANGE', KEYS[1], '140', 139 + length) end
local around = head:sub(1, 2) .. lease .. fixed:sub(1, 16) .. head:sub(43, 66) .. times .. fixed:sub(33, 40)
  .. head:sub(139, 140) .. identity
if slides then
  redis.call('SET', KEYS[1], around .. ARGV[6], 'PX', life_of(session, now))
else
  redis.call('SET', KEYS[1], around .. ARGV[6], 'KEEPTTL')
end
if session.held and channel ~= '' then tell(channel) end
return answer('+', now, around)
