-- A step over several entries: applies what was decided elsewhere if nothing of what that rests on has changed, else
-- answers with how things are. Called first without anything to apply, to learn how things are.
--
-- KEYS: entries that were asked for, then indexes, then members of these that were seen, then whatever else is written.
-- ARGV: time, prefix, number of entries, number of indexes, number of members, how many members of an index are looked at, 'w' to
-- apply. Then, in this order,
--   the times from which and until which the decision holds,
--   what each entry and each member was: '=' and all of it that was told, or '~' and whose it was, for a session that only has
--   to be alive still,
--   each index's generation, or '' where it does not matter who has come into it,
--   the number of entries to put, each as place in KEYS, value, end of life,
--   the number of changes to indexes, each as place in KEYS, '+' or '-', member, end of life,
--   the number of channels to tell, and each of them.
--
-- Of members only heads are told: how much data a user's sessions hold is up to the user, and nobody else is to wait for that.
local now = clock(ARGV[1])
local prefix = ARGV[2]
local entries, indexes, members, most = tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5]), ARGV[6]
local at = 7
local function next_argument()
  at = at + 1
  return ARGV[at]
end
local function times(f)
  for i = 1, tonumber(next_argument()) do f(i) end
end

local function entry_of(key)
  return redis.call('GET', key) or ''
end

-- Its members and what they are known by; nothing of an index with more than are looked at.
local function index_of(key)
  local found = redis.call('ZRANGE', key, '0', most)
  if #found > tonumber(most) then return nil, '' end
  return found, redis.sha1hex(table.concat(found))
end

local function is_same(key, tell)
  local sign, expected = next_argument(), next_argument()
  if sign == '=' then return tell(key) == expected end
  local head = head_of(key)
  return alive(head, now) and identity(head) == expected
end

local function still_holds()
  local from, to = tonumber(next_argument()), tonumber(next_argument())
  if now < from or to <= now then return false end
  for i = 1, entries do
    if not is_same(KEYS[i], entry_of) then return false end
  end
  for i = entries + indexes + 1, entries + indexes + members do
    if not is_same(KEYS[i], head_of) then return false end
  end
  for i = entries + 1, entries + indexes do
    local expected = next_argument()
    if expected ~= '' then
      local _, generation = index_of(KEYS[i])
      if generation ~= expected then return false end
    end
  end
  return true
end

if ARGV[7] == 'w' and still_holds() then
  times(function()
    local key, value, until_ = KEYS[tonumber(next_argument())], next_argument(), tonumber(next_argument())
    if string.byte(value, 2) == 1 then
      redis.call('SET', key, value, 'PX', life(until_, now))
    else
      leave(key, value, life(until_, now))
    end
  end)
  times(function()
    local key, sign, member = KEYS[tonumber(next_argument())], next_argument(), next_argument()
    local until_ = tonumber(next_argument())
    if sign == '-' then
      redis.call('ZREM', key, member)
    else
      redis.call('ZADD', key, until_, member)
      -- Whoever is past the end of its life has long gone by itself.
      redis.call('ZREMRANGEBYSCORE', key, '-inf', '(' .. string.format('%.0f', now))
      -- An index lives as long as its last member may.
      if redis.call('PTTL', key) < life(until_, now) then redis.call('PEXPIRE', key, life(until_, now)) end
    end
  end)
  times(function() tell(next_argument()) end)
  return { answer('+', now) }
end

local reply = { answer('-', now) }
for i = 1, entries do
  reply[#reply + 1] = entry_of(KEYS[i])
end
for i = entries + 1, entries + indexes do
  local found, generation = index_of(KEYS[i])
  local index = { generation }
  for _, member in ipairs(found or {}) do
    local key = prefix .. member
    local head = head_of(key)
    index[#index + 1] = member
    index[#index + 1] = head
    -- The bytes of it that are not told.
    index[#index + 1] = redis.call('STRLEN', key) - #head
  end
  reply[#reply + 1] = index
end
return reply
