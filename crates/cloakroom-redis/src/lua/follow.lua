-- Looks for a session that may have got other ids since, going from one to the next, and may end it where it is found. All of it in one go:
-- whoever changes its id all the time is not ahead of that.
--
-- KEYS: where it was; to end it on a single server, its user's index.
-- ARGV: time, prefix, 'y' to go on from an id that it has left. To end it also: its record, its user as it stands in a session, the
-- operation, for how long its end is remembered, and for how long where nothing is at all, or '' to leave nothing there.
-- Answers with the name under which it was ended; else with the name at which the way ends, the length of the value there, and its head.
local now = clock(ARGV[1])
local prefix, record, user, operation = ARGV[2], ARGV[4], ARGV[5], ARGV[6]
-- The server does nothing else meanwhile.
local FARTHEST = 500

local key, head = KEYS[1], head_of(KEYS[1])
for _ = 1, ARGV[3] == 'y' and FARTHEST or 0 do
  if string.byte(head, 2) ~= 3 then break end
  local successor = prefix .. head:sub(3, 51)
  -- Where a slot is on its way to another node, the next one may be there: whoever asked goes on by asking for it.
  local is_here, found = pcall(head_of, successor)
  if not is_here or found == '' then break end
  key, head = successor, found
end
local name = key:sub(#prefix + 1)

local function end_for(millis)
  leave(key, '\1\4' .. name .. operation .. bytes(after(now, millis)), millis)
end

if record then
  if alive(head, now) and head:sub(115, 130) == record and head:sub(141, 140 + #user) == user then
    end_for(ARGV[7])
    if KEYS[2] then redis.call('ZREM', KEYS[2], name) end
    tell(prefix .. 'r' .. name)
    return answer('+', now, name)
  end
  if head == '' and key == KEYS[1] and ARGV[8] ~= '' then end_for(ARGV[8]) end
end
return answer('-', now, name .. bytes(redis.call('STRLEN', key)) .. head)
