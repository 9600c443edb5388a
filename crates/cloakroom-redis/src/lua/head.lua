-- What every script begins with. Offsets are those of `layout/mod.rs`, plus one, as Lua counts. Where a command is given an offset it is
-- a string: a number is formatted as a double first, which takes Redis 7.0 longer than most commands do.

local NEVER = 9007199254740991
local NO_LEASE = string.rep('\0', 32)

-- The time: the server's, unless a test gives one.
local function clock(given)
  if given ~= '' then return tonumber(given) end
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

local function bytes(number)
  return struct.pack('>I8', number)
end

-- A moment after another one; what cannot be counted never comes.
local function after(now, millis)
  return math.min(now + tonumber(millis), NEVER)
end

-- The answer: how it went, when, and what else there is to tell, as one string.
local function answer(how, now, rest)
  return how .. bytes(now) .. (rest or '')
end

-- The head of a session that is alive, as a table; nil for anything else. Whoever sends the script applies the rules
-- to what is there instead.
local function alive(head, now)
  if string.byte(head, 1) ~= 1 or string.byte(head, 2) ~= 1 or #head < 140 then return nil end
  local seen, idle, absolute = struct.unpack('>I8I8I8', head, 75)
  if now >= idle or now >= absolute then return nil end
  return { held = now < struct.unpack('>I8', head, 27), seen = seen, idle = idle, absolute = absolute }
end

-- What stays the same for as long as a session is under its key: its record, its user and their device.
local function identity(value)
  return value:sub(115, 130) .. value:sub(139, 140 + struct.unpack('>I2', value, 139))
end

-- Slides the idle deadline: never backwards, and never past the absolute one.
local function slide(session, now, idle)
  session.seen = math.max(session.seen, now)
  session.idle = math.min(math.max(after(now, idle), session.idle), session.absolute)
end

-- How long an entry is kept that is of use until then. Redis removes it at that moment by itself.
local function life(until_, now)
  return math.max(until_ - now, 1)
end

local function life_of(session, now)
  return life(math.min(session.idle, session.absolute), now)
end

-- Puts what is left of a session in its place. That its expiry is taken away for a moment tells it from a session, for those who are told of
-- keys that expire: there is nothing else that does it, and the key does not go away by it. (Without a key, a node whose slot is on
-- the way to another one would not let the script go on.)
--
-- A server that is full refuses what may take memory, unless it is in the midst of a change already. What is left of a session takes
-- less than it did: ending one must always be possible, and this change comes first.
local function leave(key, value, millis)
  local was_there = redis.call('PERSIST', key) == 1
  redis.call('SET', key, value, 'PX', millis)
  if not was_there then
    redis.call('PERSIST', key)
    redis.call('PEXPIRE', key, millis)
  end
end

-- Tells whoever waits for a lease. A listener is told by courtesy: it must not undo what was done.
local function tell(channel)
  redis.pcall('SPUBLISH', channel, '')
end
