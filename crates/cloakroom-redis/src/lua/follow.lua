-- Looks for a session that may have got other ids since, going from one to the next, and may end it where it is found. All of it in one go:
-- whoever changes its id all the time is not ahead of that.
--
-- KEYS: where it was; the index that it is in, if it is ended and that is known and on the same server.
-- ARGV: time, prefix, 'y' to go on from an id that it has left. To end it also: how and by which operation, as that is kept; for how long;
-- its record and its user as a session has them, or '' for whichever it is; for how long that is kept where nothing is at all, or ''.
-- Answers with the name at which the way ends or where the session was ended, the length of the value there, and its head.
local now = clock(ARGV[1])
local prefix, ends, record, user = ARGV[2], ARGV[4], ARGV[6], ARGV[7]
-- The server does nothing else meanwhile.
local FARTHEST = 500

local key, head = KEYS[1], head_of(KEYS[1])
for _ = 1, ARGV[3] == 'y' and FARTHEST or 0 do
  if string.byte(head, 2) ~= 3 or struct.unpack('>I8', head, 3) <= now then break end
  local successor = prefix .. head:sub(11, 59)
  -- Where a slot is on its way to another node, the next one may be there: whoever asked goes on by asking for it.
  local is_here, found = pcall(head_of, successor)
  if not is_here or found == '' then break end
  key, head = successor, found
end
local name = key:sub(#prefix + 1)
local length = redis.call('STRLEN', key)

local function end_for(millis)
  leave(key, '\1\4' .. bytes(after(now, millis)) .. name .. ends, millis)
end
local function is_meant()
  return record == '' or (head:sub(115, 130) == record and head:sub(141, 140 + #user) == user)
end

local ended = ends and alive(head, now) and is_meant()
if ended then
  end_for(ARGV[5])
  if KEYS[2] then redis.call('ZREM', KEYS[2], name) end
  tell(prefix .. 'r' .. name)
elseif ends and head == '' and key == KEYS[1] and ARGV[8] ~= '' then
  end_for(ARGV[8])
end
return answer(ended and '+' or '-', now, name .. bytes(length) .. head)
