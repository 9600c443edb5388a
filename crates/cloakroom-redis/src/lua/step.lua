-- A step over several entries: applies what was decided elsewhere if nothing of what that rests on has changed, else
-- answers with how things are. Called first without anything to apply, to learn how things are.
--
-- KEYS: entries that were read, then indexes that were read, then whatever else is written.
-- ARGV: time, prefix, number of entries, number of indexes, 'w' to apply. Then, in this order,
--   the times from which and until which the decision holds,
--   what each entry was: '=' and all its bytes, or '~' and whose it was, for a session that only has to be alive still,
--   each index's generation,
--   the number of entries to put, each as place in KEYS, value, end of life,
--   the number of changes to indexes, each as place in KEYS, '+' or '-', member, end of life,
--   the number of channels to tell, and each of them.
local now = clock(ARGV[1])
local prefix, entries, indexes = ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local at = 5
local function next_argument()
  at = at + 1
  return ARGV[at]
end
local function times(f)
  for i = 1, tonumber(next_argument()) do f(i) end
end

local values, members, generations = {}, {}, {}
for i = 1, entries do
  values[i] = redis.call('GET', KEYS[i]) or ''
end
for i = 1, indexes do
  members[i] = redis.call('ZRANGE', KEYS[entries + i], '0', '-1')
  generations[i] = redis.sha1hex(table.concat(members[i]))
end

if ARGV[5] == 'w' then
  local from, to = tonumber(next_argument()), tonumber(next_argument())
  local same = from <= now and now < to
  for i = 1, entries do
    local sign, expected = next_argument(), next_argument()
    if sign == '=' then
      same = values[i] == expected and same
    else
      same = alive(values[i], now) and identity(values[i]) == expected and same
    end
  end
  for i = 1, indexes do
    same = (next_argument() == generations[i]) and same
  end
  if same then
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
end

local reply = { answer('-', now) }
for i = 1, entries do
  reply[#reply + 1] = values[i]
end
for i = 1, indexes do
  local index = { generations[i] }
  for _, member in ipairs(members[i]) do
    index[#index + 1] = member
    index[#index + 1] = redis.call('GET', prefix .. member) or ''
  end
  reply[#reply + 1] = index
end
return reply
